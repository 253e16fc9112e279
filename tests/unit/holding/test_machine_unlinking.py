"""An unlink, by the machine of a held session alone."""

from shared.core.failures import FailureCode
from shared.core.lifecycle import RUNNING, State
from tests.each import each
from tests.played import RETRY_AT, START
from tests.unit.holding.stay import ASKED, DAY, DROPPED, HELD, RELEASED, RESTORED, R, Stay, coming, lost, online
from workers.holding import tenure as t
from workers.holding.machine import initial, refusing
from workers.holding.tenure import UNLINKING, Sign, TenurePhase, UnlinkAsked


def test_a_restricted_account_that_is_to_be_unlinked_is_told_as_what_it_is():
    stay = online().happen(UnlinkAsked(START + DAY), lost(R.RESTRICTED))
    assert stay.kinds()[-2:] == ["ForgetDevice", "TellEnd"]
    assert (stay.ending.state, stay.ending.code) == (State.UNLINKED, FailureCode.ACCOUNT_RESTRICTED)


@each("shown", list(State))
def test_a_wish_that_runs_out_is_told_whatever_was_shown(shown):
    """Redis was away when the device was taken up, so the page still shows what was before."""
    leaving = f"{UNLINKING}:{START + 9}"
    for end in (Sign.LATE, Sign.KEYS_MISSING, lost(R.LOGGED_OUT)):
        if shown not in RUNNING:
            assert coming(parked=leaving, shown=shown).happen(end).ending.state is State.UNLINKED


def test_an_unlink_keeps_the_wish_before_it_asks_and_the_keys_until_the_answer():
    stay = online().happen(ASKED)
    assert stay.kinds()[-3:] == ["ParkDevice", "GiveUpAt", "SendLogOut"]
    assert stay.did(t.ParkDevice) == [t.ParkDevice(f"{UNLINKING}:{START + DAY}", START)]
    assert stay.did(t.GiveUpAt) == [t.GiveUpAt(START + DAY)]
    assert stay.did(t.Duty.FORGET_DEVICE) == []
    before = len(stay.done)
    stay.happen(ASKED, DROPPED, Sign.DWELT)
    assert len(stay.done) == before
    stay.happen(lost(R.LOGGED_OUT))
    assert stay.kinds()[-2:] == ["ForgetDevice", "TellEnd"]
    assert (stay.ending.state, stay.ending.event, stay.ending.code) == (State.UNLINKED, "session.unlinked", None)


@each("said", [RELEASED, lost(R.START_FAILED), lost(R.REPLACED), lost(R.BANNED, RETRY_AT)])
def test_a_log_out_without_proof_is_tried_again(said):
    stay = online().happen(ASKED, said)
    assert stay.kinds()[-1] == "RetryIn"
    assert stay.did(t.Duty.FORGET_DEVICE) == []
    stay.happen(Sign.RETRY)
    assert stay.kinds()[-1] == "StartAgain"
    stay.happen(HELD)
    assert stay.kinds()[-1] == "SendLogOut"
    assert stay.did(t.Duty.WAKE_TEXTS) == [t.Duty.WAKE_TEXTS]  # of the time before
    assert stay.tenure.tries == 0


def test_an_unlink_without_an_answer_begins_anew_and_in_the_end_says_that_it_was_not_done():
    stay = coming().happen(ASKED, Sign.START_FAILED, Sign.RETRY, RESTORED, Sign.UNANSWERED)
    assert stay.kinds()[-2:] == ["Disconnect", "RetryIn"]
    assert len(stay.did(t.Duty.SEND_LOG_OUT)) == 1
    stay.happen(Sign.HOLDER_DIED)
    assert stay.kinds()[-2:] == ["CutTexts", "StartAgain"]
    stay.happen(Sign.LATE)
    assert stay.kinds()[-2:] == ["ForgetDevice", "TellEnd"]
    assert (stay.ending.state, stay.ending.code) == (State.UNLINKED, FailureCode.CONNECTION_FAILED)


def test_an_unlink_is_taken_over_with_its_end():
    tenure = initial(shown=State.LINKED, fresh=True, parked=f"{UNLINKING}:{START + 5}", now=START)
    assert (tenure.phase, tenure.leave_by, tenure.fresh) == (TenurePhase.LEAVING, START + 5, False)
    odd = initial(shown=State.LINKED, fresh=False, parked=f"{UNLINKING}:soon", now=START)
    assert odd.leave_by == START
    assert Stay(tenure).happen(HELD).kinds() == ["SendLogOut"]


def test_a_device_that_must_not_stay_is_logged_out_in_silence():
    tenure = refusing(START, 30_000)
    assert tenure.leave_by == START + 30_000
    stay = Stay(tenure).happen(HELD, lost(R.LOGGED_OUT))
    assert stay.kinds() == ["SendLogOut", "ForgetDevice"]
    assert Stay(tenure).happen(Sign.LATE).kinds() == ["ForgetDevice"]
