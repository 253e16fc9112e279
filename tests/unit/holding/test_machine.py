"""Every order of events of a held session, by the machine alone."""

import itertools
from dataclasses import dataclass, field
from typing import Any

from shared.core.failures import FAILURES, FailureCode
from shared.core.lifecycle import RUNNING, STEPS, State
from tests.each import each
from tests.played import RETRY_AT, START, play
from tests.scenarios import SCENARIOS, Play
from workers import tallies
from workers.engine import protocol as pipe
from workers.holding import machine
from workers.holding import tenure as t
from workers.holding.machine import initial, refusing, step
from workers.holding.tenure import UNLINKING, Sign, Tenure, TenurePhase, UnlinkAsked

SESSION = "company_salon-1"
R = pipe.LostReason
HELD, RESTORED, DROPPED = pipe.Held(session=SESSION), pipe.Restored(session=SESSION), pipe.Dropped(session=SESSION)
RELEASED = pipe.Released(session=SESSION, detail="no answer")
DAY = 86_400_000


def lost(reason: R, until: int | None = None) -> pipe.Lost:
    """What a holder says of a loss."""
    return pipe.Lost(session=SESSION, reason=reason, until=until, detail="said so")


@dataclass
class Stay:
    """One held session, played: effects are written down, a start is answered by nothing."""

    tenure: Tenure = field(default_factory=lambda: Tenure(shown=State.LINKED))
    now: int = START
    states: list[str] = field(default_factory=lambda: ["linked"])
    counted: list[str] = field(default_factory=list)
    alerts: list[str] = field(default_factory=list)
    done: list[Any] = field(default_factory=list)
    ending: t.TellEnd | None = None

    def happen(self, *events: Any) -> "Stay":
        """Let these happen, one after the other."""
        for event in events:
            self.tenure, effects = step(self.tenure, event, self.now)
            for effect in effects:
                self.done.append(effect)
                self._note(effect)
        return self

    def did(self, kind: type) -> list[Any]:
        """The effects of a kind so far."""
        return [one for one in self.done if isinstance(one, kind)]

    def kinds(self) -> list[str]:
        """The effects so far, by name."""
        return [type(one).__name__ for one in self.done]

    def _note(self, effect: Any) -> None:
        match effect:
            case t.Tell(state=state, trouble=trouble):
                self._show(state)
                if trouble and effect.count:
                    self.counted.append(tallies.failed(trouble, "RU"))
                if trouble and effect.alert and FAILURES[trouble].alerts:
                    self.alerts.append(trouble.value)
            case t.StartAgain():
                self._show(State.RECONNECTING)
            case t.TellEnd(state=state, code=code):
                assert self.ending is None, "it ends once"
                self.ending = effect
                self._show(state)
                if code:
                    self.counted.append(tallies.failed(code, "RU"))
                    if code is FailureCode.DROPPED_AFTER_LINKING:
                        self.counted.append("dropped")
                    if FAILURES[code].alerts:
                        self.alerts.append(code.value)
            case _:
                pass

    def _show(self, state: State) -> None:
        if self.states[-1] != state.value:
            self.states.append(state.value)


def coming(*, fresh: bool = False, parked: str = "", shown: State = State.RECONNECTING) -> Stay:
    """A session that is taken up."""
    return Stay(initial(shown=shown, fresh=fresh, parked=parked, now=START), states=[shown.value])


def restricted_for(minutes: float) -> Stay:
    """One that is restricted since START, and is refused again so much later."""
    stay = coming(parked=f"restricted:{START}")
    stay.now = START + round(minutes * 60_000)
    return stay.happen(lost(R.RESTRICTED))


def online(**options: Any) -> Stay:
    """One that is connected."""
    return coming(**options).happen(HELD)


# --- the scenario table -----------------------------------------------------------------------------------------------


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
    assert stay.done == [t.WakeTexts(), t.Tell(State.LINKED, "session.held")]
    assert stay.happen(HELD, RESTORED).done == [t.WakeTexts(), t.Tell(State.LINKED, "session.held")]
    linked = Stay().happen(HELD)  # by an attempt a moment ago
    assert linked.done == [t.WakeTexts()]


def test_a_lost_connection_is_told_until_it_is_back():
    stay = online().happen(DROPPED, DROPPED)
    assert [one.event for one in stay.did(t.Tell)] == ["session.held", "session.dropped"]
    assert stay.happen(Sign.RETRY).did(t.StartAgain) == []  # the library comes back by itself
    stay.happen(RESTORED)
    assert stay.tenure.phase is TenurePhase.ONLINE
    assert len(stay.did(t.WakeTexts)) == 2


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
    assert len(stay.did(t.TellVerified)) == 1
    assert not stay.tenure.fresh
    assert online().happen(Sign.DWELT).did(t.TellVerified) == []


def test_a_device_that_is_away_when_the_dwell_ends_is_verified_when_it_is_back():
    stay = online(fresh=True).happen(DROPPED, Sign.DWELT)
    assert stay.did(t.TellVerified) == []
    assert stay.tenure.due
    stay.happen(RESTORED, DROPPED, RESTORED)
    assert len(stay.did(t.TellVerified)) == 1
    assert not stay.tenure.due
    assert not online().happen(DROPPED, Sign.DWELT).tenure.due
    assert online(fresh=True).did(t.TellVerified) == []


def test_a_device_that_is_connected_only_after_the_dwell_dwells_anew():
    """Whether WhatsApp drops it shows only once it is connected: until then, to be lost is to be dropped."""
    stay = Stay(Tenure(shown=State.LINKED, fresh=True)).happen(Sign.DWELT, HELD)
    assert stay.did(t.TellVerified) == []
    assert len(stay.did(t.Dwell)) == 1
    dropped = Stay(stay.tenure).happen(lost(R.LOGGED_OUT))
    assert dropped.did(t.TellEnd)[0].code is FailureCode.DROPPED_AFTER_LINKING
    stay.happen(Sign.DWELT, DROPPED, HELD)
    assert (len(stay.did(t.TellVerified)), len(stay.did(t.Dwell))) == (1, 1)


# --- losses -----------------------------------------------------------------------------------------------------------


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
    assert back.did(t.UnparkDevice)
    assert back.tenure.parked == ""


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


def test_a_ban_is_waited_for_and_over():
    stay = online().happen(lost(R.BANNED, RETRY_AT))
    assert stay.did(t.CoolNumber) == [t.CoolNumber(RETRY_AT)]
    assert stay.did(t.ParkDevice) == [t.ParkDevice("banned", RETRY_AT + machine.AFTER_BAN_MS)]
    assert stay.did(t.Offer) == [t.Offer(RETRY_AT + machine.AFTER_BAN_MS)]
    assert (stay.ending.state, stay.ending.retry_at, stay.ending.kept) == (State.FAILED, RETRY_AT, True)
    assert stay.kinds().index("ParkDevice") < stay.kinds().index("TellEnd") < stay.kinds().index("Offer")
    back = coming(parked="banned", shown=State.FAILED).happen(HELD)
    assert back.did(t.UnparkDevice)
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
    assert again.did(t.UnparkDevice) == []
    assert again.did(t.Settle)
    again.happen(lost(R.REPLACED))
    assert again.did(t.ParkDevice) == [t.ParkDevice("replaced", 0)]
    assert again.did(t.Offer) == []
    settled = online(parked="replaced").happen(Sign.SETTLED, Sign.SETTLED)
    assert len(settled.did(t.UnparkDevice)) == 1
    settled.happen(lost(R.REPLACED))
    assert settled.did(t.Offer)
    assert online().did(t.Settle) == []


# --- logging out ------------------------------------------------------------------------------------------------------

ASKED = UnlinkAsked(START + DAY)


def test_an_unlink_keeps_the_wish_before_it_asks_and_the_keys_until_the_answer():
    stay = online().happen(ASKED)
    assert stay.kinds()[-3:] == ["ParkDevice", "GiveUpAt", "SendLogOut"]
    assert stay.did(t.ParkDevice) == [t.ParkDevice(f"{UNLINKING}:{START + DAY}", START)]
    assert stay.did(t.GiveUpAt) == [t.GiveUpAt(START + DAY)]
    assert stay.did(t.ForgetDevice) == []
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
    assert stay.did(t.ForgetDevice) == []
    stay.happen(Sign.RETRY)
    assert stay.kinds()[-1] == "StartAgain"
    stay.happen(HELD)
    assert stay.kinds()[-1] == "SendLogOut"
    assert stay.did(t.WakeTexts) == [t.WakeTexts()]  # of the time before
    assert stay.tenure.tries == 0


def test_an_unlink_without_an_answer_begins_anew_and_in_the_end_says_that_it_was_not_done():
    stay = coming().happen(ASKED, Sign.START_FAILED, Sign.RETRY, RESTORED, Sign.UNANSWERED)
    assert stay.kinds()[-2:] == ["Disconnect", "RetryIn"]
    assert len(stay.did(t.SendLogOut)) == 1
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


# --- everything -------------------------------------------------------------------------------------------------------

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
            assert stay.did(t.ForgetDevice) == []
