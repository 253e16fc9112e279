"""Every order of events of a held session, by the machine alone."""

import itertools
from typing import Any

from shared.core.failures import FailureCode
from shared.core.lifecycle import STEPS, State
from tests.each import each
from tests.played import RETRY_AT, START, play
from tests.scenarios import SCENARIOS, Play
from tests.unit.holding.stay import (
    ASKED,
    DAY,
    DROPPED,
    HELD,
    RELEASED,
    RESTORED,
    SESSION,
    R,
    Stay,
    coming,
    lost,
    online,
)
from workers.engine import protocol as pipe
from workers.holding import tenure as t
from workers.holding.tenure import Sign, Tenure, TenurePhase, UnlinkAsked

_REFUSED = {401: R.LOGGED_OUT, 403: R.RESTRICTED, 402: R.BANNED, 405: R.OUTDATED, 409: R.REFUSED}


def held(scenario: Any) -> Stay:
    """What a row has happen to the session once it is linked."""
    stay = Stay(Tenure(shown=State.LINKED, fresh=scenario.play is not Play.LOG_OUT_LATER)).happen(HELD)
    for arm in scenario.arms:
        match arm.fault:
            case "dwell-drop":
                stay.happen(lost(R.LOGGED_OUT))
            case "conflict-replaced":
                stay.happen(lost(R.REPLACED))
            case "login-refused" if arm.skip:
                reason = _REFUSED[arm.status]
                stay.happen(lost(reason, RETRY_AT if reason is R.BANNED else None))
                if reason is not R.OUTDATED:
                    stay.happen(Sign.RETRY, HELD)
            case "connected-cut" | "keepalive-silence":
                stay.happen(DROPPED)
                if len(scenario.arms) == 1:
                    stay.happen(RESTORED)
            case "stream-error" if arm.status != 515:
                stay.happen(DROPPED, RESTORED)
            case _:
                pass
    match scenario.play:
        case Play.LOG_OUT | Play.LOG_OUT_LATER:
            stay.happen(lost(R.LOGGED_OUT))
        case Play.API | Play.SPENT:
            stay.happen(UnlinkAsked(START + DAY), lost(R.LOGGED_OUT))
        case _:
            pass
    return stay


@each("scenario", [row for row in SCENARIOS if "linked" in row.states.split()], ids=lambda scenario: scenario.name)
def test_a_row_of_the_scenario_table(scenario):
    assert play(scenario).states[-1] == "linked"
    stay = held(scenario)
    states = [state for state in scenario.states.split() if state != "refused"]
    assert stay.states == states[states.index("linked") :]
    if scenario.ending in {"failed", "unlinked"}:
        assert stay.ending is not None
        assert stay.ending.code == scenario.failure
        assert (stay.ending.retry_at is not None) == scenario.retry_at
    assert bool(stay.alerts) == scenario.sentry
    if scenario.counts.startswith(("failures", "dropped")):
        assert scenario.counts in stay.counted


# --- the connection ---------------------------------------------------------------------------------------------------


def test_coming_online_is_told_once_and_wakes_the_texts():
    stay = online()
    assert stay.done == [t.Duty.WAKE_TEXTS, t.Tell(State.LINKED, "session.held")]
    assert stay.happen(HELD, RESTORED).done == [t.Duty.WAKE_TEXTS, t.Tell(State.LINKED, "session.held")]
    linked = Stay().happen(HELD)  # by an attempt a moment ago
    assert linked.done == [t.Duty.WAKE_TEXTS]


def test_a_lost_connection_is_told_until_it_is_back():
    stay = online().happen(DROPPED, DROPPED)
    assert [one.event for one in stay.did(t.Tell)] == ["session.held", "session.dropped"]
    assert stay.happen(Sign.RETRY).did(t.StartAgain) == []  # the library comes back by itself
    stay.happen(RESTORED)
    assert stay.tenure.phase is TenurePhase.ONLINE
    assert len(stay.did(t.Duty.WAKE_TEXTS)) == 2


@each("stay", [coming, online, lambda: online().happen(DROPPED)])
def test_when_its_holder_dies_it_is_started_again(stay):
    stay = stay().happen(Sign.HOLDER_DIED)
    assert stay.tenure.phase is TenurePhase.COMING
    assert stay.kinds()[-2:] == ["CutTexts", "StartAgain"]
    assert stay.did(t.StartAgain)[-1].event == "holder.died"
    assert stay.happen(HELD).states[-1] == "linked"


def test_pauses_grow_until_it_is_online():
    stay = coming().happen(Sign.START_FAILED, lost(R.START_FAILED), Sign.RETRY, lost(R.REFUSED))
    assert [one.tries for one in stay.did(t.RetryIn)] == [0, 1, 2]
    assert [one.event for one in stay.did(t.StartAgain)] == ["session.retrying"]
    assert stay.happen(HELD).tenure.tries == 0
    assert stay.tenure.trouble is None
    before = len(stay.done)
    assert len(stay.happen(Sign.RETRY).done) == before


def test_each_trouble_is_counted_once_and_the_fourth_in_a_row_alerts():
    stay = online()
    for tries in range(6):
        stay.happen(lost(R.START_FAILED))
        assert [one.alert for one in stay.did(t.Tell)][-1] is (tries == 3)
        assert stay.did(t.Tell)[-1].count is (tries == 0)
    assert stay.did(t.Tell)[-1].event == "session.start-failed"
    assert stay.did(t.Tell)[-1].raw == "start-failed said so"
    stay = online().happen(lost(R.REFUSED))
    assert stay.did(t.Tell)[-1].alert
    stay.happen(lost(R.OUTDATED))
    assert stay.did(t.Tell)[-1].count
    assert stay.states[-1] == "reconnecting"


def test_a_version_that_is_too_old_is_waited_for_together():
    refused = pipe.Lost(session=SESSION, reason=R.OUTDATED, library="/a/library")
    stay = online().happen(refused)
    assert stay.kinds()[-2:] == ["Tell", "AwaitVersion"]
    assert stay.did(t.AwaitVersion) == [t.AwaitVersion("/a/library")]
    assert not stay.did(t.Tell)[-1].alert
    assert stay.did(t.RetryIn) == []
    assert stay.happen(Sign.RETRY, HELD).states[-1] == "linked"
    leaving = online().happen(ASKED, refused)
    assert leaving.kinds()[-1] == "AwaitVersion"
    assert leaving.states[-1] == "linked"


def test_keys_that_are_gone_are_our_fault():
    stay = coming().happen(Sign.KEYS_MISSING)
    assert stay.kinds() == ["ForgetDevice", "TellEnd"]
    assert (stay.ending.state, stay.ending.event, stay.ending.code) == (
        State.UNLINKED,
        "device.missing",
        FailureCode.INTERNAL,
    )
    assert stay.tenure.phase is TenurePhase.OVER


# --- the dwell --------------------------------------------------------------------------------------------------------


def test_a_device_that_outlives_the_dwell_is_verified_once():
    stay = online(fresh=True).happen(Sign.DWELT, Sign.DWELT)
    assert len(stay.did(t.Duty.TELL_VERIFIED)) == 1
    assert not stay.tenure.fresh
    assert online().happen(Sign.DWELT).did(t.Duty.TELL_VERIFIED) == []


def test_a_device_that_is_away_when_the_dwell_ends_is_verified_when_it_is_back():
    stay = online(fresh=True).happen(DROPPED, Sign.DWELT)
    assert stay.did(t.Duty.TELL_VERIFIED) == []
    assert stay.tenure.due
    stay.happen(RESTORED, DROPPED, RESTORED)
    assert len(stay.did(t.Duty.TELL_VERIFIED)) == 1
    assert not stay.tenure.due
    assert not online().happen(DROPPED, Sign.DWELT).tenure.due
    assert online(fresh=True).did(t.Duty.TELL_VERIFIED) == []


def test_a_device_that_is_connected_only_after_the_dwell_dwells_anew():
    """Whether WhatsApp drops it shows only once it is connected: until then, to be lost is to be dropped."""
    stay = Stay(Tenure(shown=State.LINKED, fresh=True)).happen(Sign.DWELT, HELD)
    assert stay.did(t.Duty.TELL_VERIFIED) == []
    assert len(stay.did(t.Duty.DWELL)) == 1
    dropped = Stay(stay.tenure).happen(lost(R.LOGGED_OUT))
    assert dropped.did(t.TellEnd)[0].code is FailureCode.DROPPED_AFTER_LINKING
    stay.happen(Sign.DWELT, DROPPED, HELD)
    assert (len(stay.did(t.Duty.TELL_VERIFIED)), len(stay.did(t.Duty.DWELL))) == (1, 1)


EVENTS = [*Sign, ASKED, HELD, RESTORED, DROPPED, RELEASED, *(lost(reason) for reason in R), lost(R.BANNED, RETRY_AT)]


def test_when_it_is_over_nothing_happens_any_more():
    stay = online().happen(lost(R.LOGGED_OUT))
    before = len(stay.done)
    assert len(stay.happen(*EVENTS).done) == before


def test_every_event_in_every_phase_obeys_the_lifecycle_and_ends_once():
    begins = [coming, online, lambda: online(fresh=True), lambda: online().happen(ASKED), Stay]
    for begin, *events in itertools.product(begins, EVENTS, EVENTS):
        stay = begin().happen(*events)
        for old, new in itertools.pairwise(State(one) for one in stay.states):
            assert new in STEPS[old], (events, stay.states)
        assert (stay.tenure.phase is TenurePhase.OVER) == (stay.ending is not None)
        if stay.ending is None:
            assert stay.did(t.Duty.FORGET_DEVICE) == []
