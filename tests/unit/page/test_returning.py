"""The way back tells how it ended, is signed, and leaves the integrator's own query as it was."""

from urllib.parse import parse_qsl, urlsplit

import pytest

from app.access import Link
from app.page.returning import way_back
from app.page.slot import text_of, with_return
from shared.core.failures import FailureCode
from shared.core.ids import CompanyId
from shared.core.lifecycle import State
from shared.core.protocol import Body, FailureView, MessageType, ServerMessage
from shared.core.signing import return_signature
from tests.unit.api.config import settings_with

FIRST, SECOND = "first-secret-of-the-tests", "whsec_" + "c2Vjb25kIHNlY3JldCBvZiB0aGUgdGVzdHMu"
CONFIG = settings_with(webhook_secret=(FIRST, SECOND))
BODY = Body(state=State.LINKED)


def link(url="https://salon.example/back"):
    return Link("L", CompanyId("salon.1"), 1, "Salon", return_url=url)


def query(url):
    return dict(parse_qsl(urlsplit(url).query))


@pytest.mark.parametrize(
    ("state", "failure", "status"),
    [
        (State.LINKED, None, "linked"),
        (State.RECONNECTING, None, "linked"),
        (State.CANCELLED, None, "cancelled"),
        (State.EXPIRED, None, "failed"),
        (State.FAILED, FailureCode.PAIRING_REFUSED, "failed"),
        (State.UNLINKED, FailureCode.LOGGED_OUT, "failed"),
        (State.UNLINKED, None, None),
        (State.QUEUED, None, None),
        (State.CONNECTING, None, None),
        (State.AWAITING_PHONE, None, None),
        (State.LINKING, None, None),
    ],
)
def test_every_ending_has_its_status_and_nothing_is_signed_before(state, failure, status):
    body = Body(state=state, failure=FailureView(code=failure, retryable=True) if failure else None)
    back = way_back(CONFIG, link(), body)
    assert (query(back)["status"] if back else None) == status


def test_it_is_signed_with_the_first_secret_over_all_that_it_says():
    said = query(way_back(CONFIG, link(), BODY))
    assert said["companyId"] == "salon.1"
    assert said["linkId"] == "L"
    good = return_signature(FIRST, "salon.1", "L", "linked", int(said["at"]))
    assert said["sig"] == good
    others = [
        (SECOND, "salon.1", "L", "linked", int(said["at"])),
        (FIRST, "salon.2", "L", "linked", int(said["at"])),
        (FIRST, "salon.1", "M", "linked", int(said["at"])),
        (FIRST, "salon.1", "L", "failed", int(said["at"])),
        (FIRST, "salon.1", "L", "linked", int(said["at"]) + 1),
    ]
    assert good not in [return_signature(*other) for other in others]


def test_without_a_secret_nothing_is_signed():
    assert "sig" not in query(way_back(settings_with(), link(), BODY))


def test_without_a_way_back_there_is_none():
    assert way_back(CONFIG, link(None), BODY) is None


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://salon.example/back?x=%26+y&flag", "x=%26+y&flag&"),
        ("https://salon.example/back?status=linked&sig=0&x=1", "x=1&"),
        ("https://salon.example/back", ""),
    ],
)
def test_the_query_that_was_there_stays_and_our_names_are_ours(url, kept):
    back = urlsplit(way_back(CONFIG, link(f"{url}#part"), BODY))
    assert back.query.startswith(f"{kept}status=linked&companyId=salon.1&")
    assert back.query.count("status=") == back.query.count("sig=") == 1
    assert back.fragment == "part"


def test_a_message_that_many_share_gets_a_way_back_for_one():
    message = ServerMessage(type=MessageType.STATUS)
    url = "https://salon.example/?a=\"\\'&ü"
    assert ServerMessage.model_validate_json(with_return(text_of(message), url)) == ServerMessage(
        type=MessageType.STATUS, return_url=url
    )


def test_a_name_of_ours_is_taken_out_however_it_is_written():
    back = way_back(CONFIG, link("https://salon.example/back?%73tatus=x&a=1&s%69g=y"), BODY)
    assert [name for name, _ in parse_qsl(urlsplit(back).query)] == ["a", "status", "companyId", "linkId", "at", "sig"]
