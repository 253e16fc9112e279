"""Sentry hears of an ending exactly when the catalogue says so, with the raw word and without secrets."""

import pytest
import sentry_sdk
from sentry_sdk.transport import Transport

from shared import settings
from shared.core.failures import FAILURES, Blame, FailureCode
from shared.core.ids import SessionId
from shared.telemetry import sentry

SESSION = SessionId("company_salon-1")

pytestmark = pytest.mark.filterwarnings("ignore:The send_default_pii option is deprecated")


class Remembering(Transport):
    """A Sentry that only remembers."""

    def __init__(self):
        super().__init__()
        self.events = []

    def capture_envelope(self, envelope):
        self.events += [event for item in envelope.items if (event := item.get_event()) is not None]


@pytest.fixture
def heard(monkeypatch):
    monkeypatch.setenv("SENTRY_DSN", "http://key@sentry.invalid/1")
    monkeypatch.setenv("SECRET_KEY", "a-secret-for-tests-that-is-long-enough")
    monkeypatch.setenv("API_KEYS", "an-api-key-for-tests")
    transport = Remembering()
    sentry.configure(settings.read(), "worker", transport)
    yield transport.events
    sentry_sdk.get_global_scope().set_client(None)


@pytest.mark.parametrize("code", FailureCode)
def test_it_hears_of_what_the_catalogue_says_and_of_nothing_else(heard, code):
    sentry.ending("linking", code, session=SESSION, raw="a word")
    assert len(heard) == int(FAILURES[code].alerts)
    for event in heard:
        assert event["tags"]["failure"] == code.value
        assert event["tags"]["companyId"] == "salon-1"
        assert event["extra"]["raw"] == "a word"


@pytest.mark.parametrize("code", [code for code in FailureCode if FAILURES[code].blame is Blame.OWNER])
def test_the_mistakes_of_people_never_alert(heard, code):
    sentry.ending("linking", code, session=SESSION)
    assert heard == []


def test_the_raw_word_arrives_without_the_secrets_in_it(heard):
    raw = "failed for 79001234567:3@s.whatsapp.net with code ABCD-EFGH by http://me:secret@proxy"
    sentry.ending("linking", FailureCode.INTERNAL, session=SESSION, raw=raw, phone="+79001234567")
    (event,) = heard
    for secret in ("79001234567", "ABCD-EFGH", "secret"):
        assert secret not in str(event)
    assert event["extra"]["raw"].startswith("failed for")


@pytest.mark.parametrize("code", FailureCode)
@pytest.mark.parametrize(
    ("raw", "answer"), [("429 rate-overlimit", "429"), ("None no answer within 20 s", "no-answer")]
)
def test_every_code_that_could_not_be_had_is_told_grouped_by_the_answer(heard, code, raw, answer):
    for phone in ("+79001234567", "+4915112345678"):
        sentry.no_code(code, session=SESSION, phone=phone, raw=f"{raw} for {phone}")
    first, second = heard
    assert first["fingerprint"] == second["fingerprint"] == ["code", answer]
    assert first["level"] == ("error" if FAILURES[code].alerts else "warning")
    assert first["tags"]["failure"] == code.value
    assert first["tags"]["status"] == answer
    assert first["tags"]["companyId"] == "salon-1"
    assert first["extra"]["phone"].startswith("+7 ")
    assert first["extra"]["errorType"] == "CodeRefused"
    assert "79001234567" not in str(heard)
    assert "4915112345678" not in str(heard)
