"""Losses of a held session, by the machine alone."""

from shared.core.failures import FailureCode
from shared.core.lifecycle import State
from tests.each import each
from tests.played import RETRY_AT, START
from tests.unit.holding.stay import HELD, R, coming, lost, online, restricted_for
from workers.holding import machine
from workers.holding import tenure as t
from workers.holding.tenure import Sign


def test_logged_out_is_forgotten_and_told():
    stay = online().happen(lost(R.LOGGED_OUT))
    assert stay.kinds()[-2:] == ["ForgetDevice", "TellEnd"]
    assert (stay.ending.state, stay.ending.code) == (State.UNLINKED, FailureCode.LOGGED_OUT)
    assert (stay.ending.event, stay.ending.raw) == ("session.logged-out", "logged-out said so")
    assert not stay.ending.kept
    stay = online(fresh=True).happen(lost(R.LOGGED_OUT))
    assert (stay.ending.state, stay.ending.code) == (State.FAILED, FailureCode.DROPPED_AFTER_LINKING)


@each("fresh", [True, False])
def test_a_restricted_account_has_failed_and_its_device_is_kept(fresh):
    stay = online(fresh=fresh).happen(lost(R.RESTRICTED))
    assert stay.kinds()[-3:] == ["ParkDevice", "TellEnd", "Offer"]
    assert (stay.ending.state, stay.ending.code) == (State.FAILED, FailureCode.ACCOUNT_RESTRICTED)
    assert (stay.ending.kept, stay.ending.again, stay.ending.retry_at) == (True, False, None)
    assert stay.did(t.ParkDevice) == [t.ParkDevice(f"restricted:{START}", START + machine.RESTRICTED_MS[0])]


def test_a_restricted_account_is_tried_after_as_long_as_it_lasts_and_within_a_month():
    waits = {0.1: 1, 5: 5, 600: 600, 2000: 1440, 29 * 1440: 1440}
    for minutes, wait in waits.items():
        stay = restricted_for(minutes)
        again_at = START + round((minutes + wait) * 60_000)
        assert stay.did(t.ParkDevice) == [t.ParkDevice(f"restricted:{START}", again_at)]
        assert stay.did(t.Offer) == [t.Offer(again_at)]
        assert stay.ending.again, "told once"
    last = restricted_for(30 * 1440)
    assert last.did(t.ParkDevice) == [t.ParkDevice(f"restricted:{START}", 0)]
    assert (last.did(t.Offer), last.ending.again) == ([], False)
    odd = coming(parked="restricted:long").happen(lost(R.RESTRICTED))
    assert odd.did(t.ParkDevice) == [t.ParkDevice(f"restricted:{START}", START + machine.RESTRICTED_MS[0])]


def test_a_restricted_account_that_is_released_is_like_any_other():
    back = coming(parked=f"restricted:{START}", shown=State.FAILED).happen(HELD)
    assert back.did(t.Duty.UNPARK_DEVICE)
    assert back.tenure.parked == ""


def test_a_ban_is_waited_for_and_over():
    stay = online().happen(lost(R.BANNED, RETRY_AT))
    assert stay.did(t.CoolNumber) == [t.CoolNumber(RETRY_AT)]
    assert stay.did(t.ParkDevice) == [t.ParkDevice("banned", RETRY_AT + machine.AFTER_BAN_MS)]
    assert stay.did(t.Offer) == [t.Offer(RETRY_AT + machine.AFTER_BAN_MS)]
    assert (stay.ending.state, stay.ending.retry_at, stay.ending.kept) == (State.FAILED, RETRY_AT, True)
    assert stay.kinds().index("ParkDevice") < stay.kinds().index("TellEnd") < stay.kinds().index("Offer")
    back = coming(parked="banned", shown=State.FAILED).happen(HELD)
    assert back.did(t.Duty.UNPARK_DEVICE)
    assert back.tenure.parked == ""


def test_a_ban_without_an_end_is_tried_again_in_an_hour():
    stay = online().happen(lost(R.BANNED))
    assert stay.did(t.CoolNumber) == []
    assert stay.did(t.ParkDevice)[0].again_at == START + machine.BAN_MS + machine.AFTER_BAN_MS
    assert stay.ending.retry_at is None
    assert not stay.ending.again
    still = coming(parked="banned").happen(lost(R.BANNED))
    assert still.ending.again, "told once"


def test_replaced_once_is_tried_again_and_twice_is_given_up():
    stay = online().happen(lost(R.REPLACED))
    assert stay.did(t.ParkDevice) == [t.ParkDevice("replaced", START + machine.REPLACED_MS)]
    assert stay.did(t.Offer) == [t.Offer(START + machine.REPLACED_MS)]
    assert stay.ending.kept
    again = online(parked="replaced")
    assert again.did(t.Duty.UNPARK_DEVICE) == []
    assert again.did(t.Duty.SETTLE)
    again.happen(lost(R.REPLACED))
    assert again.did(t.ParkDevice) == [t.ParkDevice("replaced", 0)]
    assert again.did(t.Offer) == []
    settled = online(parked="replaced").happen(Sign.SETTLED, Sign.SETTLED)
    assert len(settled.did(t.Duty.UNPARK_DEVICE)) == 1
    settled.happen(lost(R.REPLACED))
    assert settled.did(t.Offer)
    assert online().did(t.Duty.SETTLE) == []
