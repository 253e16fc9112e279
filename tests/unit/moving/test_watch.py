"""The outcome of a take-over, by what the registry and the snapshot say."""

import pytest

from shared.core.failures import FailureCode
from shared.core.ids import SessionId
from shared.core.lifecycle import State
from shared.core.protocol import Body, FailureView
from workers.moving.verdicts import Candidate
from workers.moving.watch import BAD, MoveOutcome, outcome_of
from workers.store.device import StoredDevice

JID, OTHER = "79001230001:7@s.whatsapp.net", "79001230001:8@s.whatsapp.net"
LINKED, COMING = Body(state=State.LINKED), Body(state=State.RECONNECTING)
LOCKED = Body(state=State.FAILED, failure=FailureView.of(FailureCode.ACCOUNT_RESTRICTED))


def device(jid=JID, parked=""):
    return StoredDevice(SessionId("company_aurora"), jid, 1, "", parked)


CASES: dict = {
    "logged in": (device(), LINKED, True, MoveOutcome.HELD),
    "taken up, not yet logged in": (device(), COMING, True, None),
    "linked is what was said before": (device(), LINKED, False, None),
    "the old client is back": (device(parked="replaced"), LINKED, True, MoveOutcome.REPLACED),
    "banned": (device(parked="banned"), COMING, True, MoveOutcome.BANNED),
    "gone": (None, COMING, True, MoveOutcome.LOGGED_OUT),
    "linked anew": (device(OTHER), LINKED, True, MoveOutcome.LOGGED_OUT),
    "restricted": (device(parked="restricted:5"), LOCKED, True, MoveOutcome.RESTRICTED),
}


@pytest.mark.parametrize("case", CASES)
def test_each_outcome_has_its_signs(case):
    registered, body, logged_in, outcome = CASES[case]
    assert outcome_of(registered, JID, body, logged_in=logged_in) is outcome


def test_every_outcome_but_a_failure_has_its_sentence():
    assert {one for one in MoveOutcome if one.says} == set(MoveOutcome) - {MoveOutcome.FAILED}
    assert set(MoveOutcome) > BAD


def test_a_name_that_holds_the_number_is_shown_masked():
    assert Candidate("79001230001:7", JID).label == "+7 •••••• 00 01:7"
    assert Candidate("aurora", JID).label == "aurora"
    assert Candidate("79001230001").label == "79001230001"
