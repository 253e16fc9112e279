"""Whatever WhatsApp and the library say is translated in one place, and what nobody knows is said to be that."""

from pathlib import Path

from shared.core.failures import FAILURES, FailureCode
from shared.core.messages import Fate, MessageState, NotSent
from tests.each import each
from workers import reasons
from workers.engine.protocol import LostReason
from workers.reasons import Verdict

ROOT = Path(__file__).parents[2]

#: Of workers/engine/child/linker.py, which cannot be imported here: it loads the library.
FINAL_WORDS = {"timeout", "error", "err-client-outdated", "err-unexpected-state"}
UNKNOWN = ["", "err-something-new", "SUCCESS", "timeout "]


@each("word", UNKNOWN)
def test_an_unknown_word_is_an_internal_failure_that_alerts(word):
    reason = reasons.of_word(word)
    assert (reason.verdict, reason.code) == (Verdict.FAIL, FailureCode.INTERNAL)
    assert FAILURES[reason.code].alerts


@each("word", sorted(FINAL_WORDS))
def test_every_word_after_which_the_client_is_dead_ends_something(word):
    assert reasons.of_word(word).verdict is not Verdict.GO_ON


@each(
    ("status", "code", "throttle"),
    [
        (None, FailureCode.CONNECTION_FAILED, False),
        (400, FailureCode.CODE_NOT_AVAILABLE, True),
        (403, FailureCode.CODE_NOT_AVAILABLE, True),
        (429, FailureCode.WHATSAPP_RATE_LIMITED, True),
        (452, FailureCode.CODE_NOT_AVAILABLE, True),
        (500, FailureCode.CONNECTION_FAILED, False),
        (428, FailureCode.INTERNAL, False),
        (999, FailureCode.INTERNAL, False),
    ],
)
def test_refusals_of_a_code(status, code, throttle):
    refusal = reasons.of_code_refusal(status)
    assert (refusal.code, refusal.throttle) == (code, throttle)


@each("reason", LostReason)
@each("fresh", [True, False])
def test_every_loss_has_a_name(reason, fresh):
    code = reasons.of_loss(reason, fresh=fresh)
    assert (code is FailureCode.DROPPED_AFTER_LINKING) == (fresh and reason is LostReason.LOGGED_OUT)


def test_a_locked_or_banned_account_is_told_as_such_and_never_as_unlinked_on_the_phone():
    assert reasons.of_ending("", LostReason.RESTRICTED) is FailureCode.ACCOUNT_RESTRICTED
    for fresh in (True, False):
        assert reasons.of_loss(LostReason.RESTRICTED, fresh=fresh) is FailureCode.ACCOUNT_RESTRICTED


@each("reason", LostReason)
def test_every_refusal_of_the_first_login_has_a_name(reason):
    assert reasons.of_ending("", reason) in FailureCode


@each(
    ("text", "code"),
    [
        ("failed to dial whatsapp web websocket: proxyconnect tcp: EOF", FailureCode.CONNECTION_FAILED),
        (
            "tls: failed to verify certificate: x509: certificate signed by unknown authority",
            FailureCode.CONNECTION_FAILED,
        ),
        ("no login within 30 s after pairing", FailureCode.CONNECTION_FAILED),
        ("a QR after pairing: the store holds no device", FailureCode.INTERNAL),
        ("proto: required field neonize.Something not set", FailureCode.INTERNAL),
        ("", FailureCode.INTERNAL),
    ],
)
def test_texts_of_errors(text, code):
    assert reasons.of_ending(text, None) is code


@each(
    ("word", "reason", "status"),
    [
        ("server returned error 463", NotSent.REFUSED, 463),
        ("server returned error 429", NotSent.RATE_LIMITED, 429),
        ("no LID found for 79001230404@s.whatsapp.net from server", NotSent.NOT_ON_WHATSAPP, None),
        ("failed to get group members: info query returned status 403: forbidden", NotSent.REFUSED, None),
        ("no answer within 40 s", NotSent.UNKNOWN, None),
        ("timed out waiting for message send response", NotSent.UNKNOWN, None),
        ("internal: KeyError", NotSent.UNKNOWN, None),
        ("", NotSent.UNKNOWN, None),
    ],
)
def test_only_a_text_that_certainly_has_not_left_is_called_not_sent(word, reason, status):
    assert reasons.of_unsent(word) == Fate(MessageState.FAILED, reason, status)


@each(
    "word",
    [
        "not held",
        "not connected",
        "stopped",
        "failed to get device list: failed to send usync query: websocket disconnected before info query returned response",
        "failed to get user info for 1@s.whatsapp.net to fill LID cache: info query timed out",
    ],
)
def test_a_text_that_has_not_left_has_not_ended(word):
    assert reasons.of_unsent(word) is None


def test_the_holders_own_words_are_those_that_are_understood():
    child = ROOT / "workers" / "engine" / "child"
    source = (child / "holder.py").read_text() + (child / "texts.py").read_text()
    assert all(f'"{word}"' in source for word in ("not held", "not connected", "stopped"))
