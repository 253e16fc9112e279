"""A stay: one held session, played on the machine alone."""

from dataclasses import dataclass, field
from typing import Any

from shared.core.failures import FAILURES, FailureCode
from shared.core.lifecycle import State
from shared.telemetry.metrics import failed
from tests.played import START
from workers.engine import protocol as pipe
from workers.holding import tenure as t
from workers.holding.machine import initial, step
from workers.holding.tenure import Tenure, UnlinkAsked
from workers.rules import kind_of, name_of

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

    def did(self, kind: object) -> list[Any]:
        """The effects of a kind so far."""
        return [one for one in self.done if kind_of(one) is kind]

    def kinds(self) -> list[str]:
        """The effects so far, by name."""
        return [name_of(one) for one in self.done]

    def _note(self, effect: Any) -> None:
        match effect:
            case t.Tell(state=state, trouble=trouble):
                self._show(state)
                if trouble and effect.count:
                    self.counted.append(failed(trouble, "RU"))
                if trouble and effect.alert and FAILURES[trouble].alerts:
                    self.alerts.append(trouble.value)
            case t.StartAgain():
                self._show(State.RECONNECTING)
            case t.TellEnd(state=state, code=code):
                assert self.ending is None, "it ends once"
                self.ending = effect
                self._show(state)
                if code:
                    self.counted.append(failed(code, "RU"))
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


ASKED = UnlinkAsked(START + DAY)
