"""The catalogue of failures is closed and whole."""

import re
from pathlib import Path

from shared.core.failures import FAILURES, Act, Blame, FailureCode, Refused
from tests.each import each

#: As the contract prints them; other people's programs know these words.
CONTRACT = """
    invalid-phone in-progress cool-down whatsapp-rate-limited code-not-available client-outdated passkey-required
    multidevice-off wrong-number linked-elsewhere pairing-refused temporarily-banned account-restricted logged-out dropped-after-linking connection-failed
    worker-lost paused no-room link-spent forbidden internal
""".split()  # noqa: SIM905 - as it stands there


def test_the_codes_are_those_of_the_contract():
    assert {code.value for code in FailureCode} == set(CONTRACT)


@each("code", FailureCode)
def test_every_code_has_its_row_and_a_plain_name(code):
    assert FAILURES[code].blame in Blame
    assert FAILURES[code].act in Act
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", code.value)


@each("code", FailureCode)
def test_the_mistakes_of_people_page_nobody(code):
    assert not (FAILURES[code].blame is Blame.OWNER and FAILURES[code].alerts)


@each("code", FailureCode)
def test_a_failure_that_never_passes_offers_no_retry(code):
    if not FAILURES[code].retryable:
        assert FAILURES[code].act not in {Act.RETRY, Act.WAIT}


def test_a_refusal_names_its_code_and_nothing_of_what_was_typed():
    assert str(Refused(FailureCode.INVALID_PHONE, field="phoneNumber")) == "invalid-phone"


def test_every_code_is_used_somewhere_in_the_product_or_kept_for_a_reason():
    """A code that nobody can raise is a promise to integrators that is not kept."""
    root = Path(__file__).parents[3]
    files = [path for folder in ("app", "workers", "shared") for path in (root / folder).rglob("*.py")]
    source = "".join(path.read_text() for path in files if path.name != "failures.py")
    unused = {code for code in FailureCode if f"FailureCode.{code.name}" not in source}
    assert unused <= {FailureCode.COOL_DOWN}, "cool-down comes with the limits of abuse; the others are used"
