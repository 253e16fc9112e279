"""The shape of our machines: a table of rows, each an event, where it may happen, and what is done then.

Pure: no Redis, no pipe, no clock. `advance` finds the first row that fits and makes its acts. An event that fits no row came
late, or twice, and changes nothing. `tests/mutants.py` breaks each row and each act in turn, and other tests must notice.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from types import UnionType
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from shared.core.datum import replace

P = ParamSpec("P")
C = TypeVar("C", bound=Any)


@dataclass
class Turn(Generic[C]):
    """One step while it is made: the course so far, what happens at `now` (ms since the epoch), the effects so far."""

    course: C
    event: Any
    now: int
    effects: list[Any] = field(default_factory=list)

    def set(self, **changes: object) -> None:
        self.course = replace(self.course, **changes)

    def add(self, *effects: object) -> None:
        self.effects += effects


TurnAct = Callable[[Turn[C]], None]
When = Callable[[Turn[C]], bool]


@dataclass(frozen=True)
class Rule(Generic[C]):
    """A row of a table: if `on` happens in a phase of `at`, and `when` holds, the acts `do` and the next phase `to`."""

    on: type | UnionType | Enum
    at: frozenset[Enum]
    to: Enum | None
    do: tuple[TurnAct[C], ...]
    when: When[C] | None = None

    def fits(self, turn: Turn[C]) -> bool:
        happened = turn.event is self.on if isinstance(self.on, Enum) else isinstance(turn.event, self.on)
        return happened and turn.course.phase in self.at and (self.when is None or self.when(turn))


def advance(rules: Iterable[Rule[C]], turn: Turn[C]) -> Rule[C] | None:
    """Make the turn by the first rule that fits, and return that rule."""
    rule = next((rule for rule in rules if rule.fits(turn)), None)
    if rule is not None:
        if rule.to is not None:
            turn.set(phase=rule.to)
        for act in rule.do:
            act(turn)
    return rule


def kind_of(word: object) -> object:
    """The key of an event or an effect in a table: the member of an enum itself, of all else its class."""
    return word if isinstance(word, Enum) else type(word)


def name_of(word: object) -> str:
    """The name of an event or an effect, as of a class: `HangUp`."""
    return word.name.title().replace("_", "") if isinstance(word, Enum) else type(word).__name__


def worded(act: Callable[Concatenate[Turn[C], P], None]) -> Callable[P, TurnAct[C]]:
    """Make an act that needs words beside its turn a maker of acts: `tell(State.LINKED)` is one, named `tell_Linked`."""

    def make(*words: P.args, **more: P.kwargs) -> TurnAct[C]:
        def worded_act(turn: Turn[C]) -> None:
            act(turn, *words, **more)

        worded_act.__name__ = "_".join((act.__name__, *(name_of(word) for word in words[:1])))
        return worded_act

    return make


@worded
def do(turn: Turn[Any], effect: object) -> None:
    """Have one effect done, always the same."""
    turn.add(effect)
