"""Random lives of a held session, against rules that say nothing of the table.

What holders say is lost or comes twice, processes die, timers fire late, Redis and the store are away. ORDERS=3000 plays so
many lives (by default 150).
"""

import os
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import settings
from hypothesis import strategies as some
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from shared.core.datum import replace
from shared.core.failures import FailureCode
from shared.core.lifecycle import RUNNING, STEPS, State
from tests.played import RETRY_AT, START
from tests.unit.holding.stay import DROPPED, HELD, RELEASED, RESTORED, Stay, lost
from workers.engine.protocol import LostReason
from workers.holding import tenure as t
from workers.holding.machine import initial, refusing
from workers.holding.tenure import UNLINKING, Sign, TenurePhase

P = TenurePhase
RESTRICTED = LostReason.RESTRICTED, True  # whoever wants it gone does not wait for its release


@dataclass
class Life(Stay):
    """A session and what is armed for it: `starting` in a holder, a `retry`, a newer `version`, the `dwell`."""

    starting: bool = True
    retry: bool = False
    version: bool = False
    answer: bool = False
    end: bool = False
    late: bool = False
    missing: bool = False
    verified: int = 0
    why: LostReason | None = None  # of the last loss

    def __post_init__(self):
        self.dwell = self.tenure.fresh
        self.end = self.tenure.phase is P.LEAVING

    def drive(self, event):
        """One event."""
        self.why = event.reason if hasattr(event, "reason") else self.why
        self.happen(event)

    def _note(self, effect):
        super()._note(effect)
        match effect:
            case t.StartAgain():
                self.starting, self.retry, self.version = True, False, False
            case t.RetryIn():
                self.retry = True
            case t.AwaitVersion():
                self.version = True
            case t.Duty.SEND_LOG_OUT:
                assert self.tenure.phase is P.LEAVING
                self.answer = True
            case t.GiveUpAt():
                self.end = True
            case t.Duty.DWELL:
                assert self.tenure.phase is P.ONLINE
                self.dwell = True
            case t.Duty.TELL_VERIFIED:
                assert self.tenure.phase is P.ONLINE, "only what is connected is verified"
                self.verified += 1
            case t.Duty.FORGET_DEVICE:
                proven = self.why is LostReason.LOGGED_OUT or (self.why, self.tenure.leave_by > 0) == RESTRICTED
                gone = proven or self.late or self.missing
                assert gone, "keys are thrown away only if WhatsApp knows them no more, or nobody is left to wait"
            case t.Duty.WAKE_TEXTS:
                assert self.tenure.phase is P.ONLINE
            case _:
                pass


class AnyOrder(RuleBasedStateMachine):
    """One session."""

    @initialize(
        fresh=some.booleans(),
        parked=some.sampled_from(["", "banned", f"restricted:{START}", "replaced", f"{UNLINKING}:{START + 9}"]),
        shown=some.sampled_from([one for one in State if one not in RUNNING]),
        refused=some.booleans(),
        saved=some.booleans(),
    )
    def begins(self, fresh, parked, shown, refused, saved):
        tenure = refusing(START, 9) if refused else initial(shown=shown, fresh=fresh, parked=parked, now=START)
        self.life = Life(tenure, states=[tenure.shown.value])
        if saved:
            self.life.tenure = replace(tenure, shown=State.RECONNECTING)
            self.life.states = [State.RECONNECTING.value]
        else:  # Redis is away: it is said, and started, a little later
            self.life.starting = False
            self.life.drive(Sign.START_FAILED)

    def begun(self):
        return hasattr(self, "life")

    def running(self):
        return self.begun() and (self.life.starting or self.life.tenure.phase in {P.ONLINE, P.AWAY})

    @precondition(running)
    @rule(
        said=some.sampled_from([HELD, HELD, HELD, RESTORED, DROPPED, *map(lost, LostReason)]),
        until=some.booleans(),
        times=some.integers(0, 2),
    )
    def the_holder_speaks(self, said, until, times):
        if until and getattr(said, "reason", None) is LostReason.BANNED:
            said = lost(LostReason.BANNED, RETRY_AT)
        for _ in range(times):
            self.life.drive(said)
        if said is not DROPPED and times:
            self.life.starting = False
            if self.life.tenure.phase is P.LEAVING and said not in {HELD, RESTORED}:
                self.life.answer = False

    @precondition(begun)
    @rule(delayed=some.booleans())
    def the_holder_dies(self, delayed):
        life = self.life
        life.starting = life.answer = False
        life.drive(Sign.START_FAILED if delayed else Sign.HOLDER_DIED)

    @precondition(lambda self: self.begun() and self.life.retry)
    @rule()
    def a_pause_is_over(self):
        self.life.retry = False
        self.life.drive(Sign.RETRY)

    @precondition(lambda self: self.begun() and self.life.version)
    @rule()
    def a_version_is_found(self):
        self.life.version = False
        self.life.drive(Sign.RETRY)

    @precondition(lambda self: self.begun() and self.life.dwell)
    @rule()
    def the_dwell_is_over(self):
        self.life.dwell = False
        self.life.drive(Sign.DWELT)

    @precondition(begun)
    @rule()
    def it_has_settled(self):
        self.life.drive(Sign.SETTLED)

    @precondition(begun)
    @rule(by=some.integers(START, START + 100))
    def the_platform_wants_it_gone(self, by):
        self.life.drive(t.UnlinkAsked(by))

    @precondition(lambda self: self.begun() and self.life.answer)
    @rule(says=some.sampled_from([RELEASED, lost(LostReason.LOGGED_OUT), Sign.UNANSWERED]))
    def the_log_out_is_answered(self, says):
        self.life.answer = False
        self.life.drive(says)

    @precondition(lambda self: self.begun() and self.life.end and not self.life.retry)
    @rule()
    def it_was_tried_for_long_enough(self):
        self.life.late = True
        self.life.drive(Sign.LATE)
        assert self.life.tenure.phase is P.OVER

    @precondition(lambda self: self.begun() and self.life.starting)
    @rule()
    def the_keys_are_missing(self):
        self.life.missing = True
        self.life.drive(Sign.KEYS_MISSING)
        assert self.life.tenure.phase is P.OVER

    @invariant()
    def somebody_looks_after_it(self):
        if not self.begun() or self.life.tenure.phase is P.OVER:
            return
        life = self.life
        if life.tenure.phase in {P.COMING, P.LEAVING}:
            armed = life.starting, life.retry, life.version, life.answer, life.end
            assert any(armed), "nothing would ever happen to it again"
        if life.tenure.phase is P.LEAVING:
            assert life.end, "a log-out has an end"
        if life.tenure.fresh and life.tenure.phase is not P.LEAVING:
            assert life.dwell or life.tenure.due, "it would never be verified"

    @invariant()
    def the_page_sees_what_the_lifecycle_allows(self):
        if not self.begun():
            return
        life = self.life
        assert all(new in STEPS[old] for old, new in pairwise(State(one) for one in life.states))
        assert life.verified <= 1
        if life.tenure.phase is P.ONLINE:
            assert (life.tenure.tries, life.tenure.trouble) == (0, None)
        if life.tenure.phase is P.OVER:
            assert (life.ending is None) == life.tenure.silent or life.missing, "told, unless the attempt tells"
            assert life.did(t.Duty.FORGET_DEVICE) or life.did(t.ParkDevice)
            before = len(life.done)
            life.happen(*Sign, t.UnlinkAsked(START), HELD, RESTORED, DROPPED, RELEASED, *map(lost, LostReason))
            assert len(life.done) == before, "when it is over, nothing happens any more"
        elif life.ending is not None:
            raise AssertionError("it has ended, and goes on")
        if life.ending is not None and life.ending.code is FailureCode.DROPPED_AFTER_LINKING:
            assert not life.verified


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=int(os.environ.get("ORDERS", "150")), stateful_step_count=25)
TestAnyOrder.pytestmark = [pytest.mark.timeout(900)]  # type: ignore[attr-defined]
