"""Breaks the machines' tables row by row, and wants a test to notice: python -m tests.mutants [linking] [holding]

Each rule is left out, sent to another phase, cut short by an act, freed of its condition or given the opposite one, and
taken out of a phase; each effect is never done. Against each mutant the machine's own tests run, in a process of their
own. A mutant that no test notices is printed; one that changes nothing of what can be seen is in `SAME`, with the reason.
"""

import importlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from typing import Any

from workers import rules

#: The machines: their table's module, the module of their phases and effects, their tests.
MACHINES = {
    "linking": (
        "workers.linking.machine",
        "workers.linking.course",
        [f"tests.unit.linking.test_machine{part}" for part in ("", "_waiting", "_agreed", "_orders")],
    ),
    "holding": (
        "workers.holding.machine",
        "workers.holding.tenure",
        [
            f"tests.unit.holding.{name}"
            for name in ("test_machine_grid", "test_machine", "test_machine_losses", "test_machine_unlinking")
        ],
    ),
}
#: Mutants that nobody can tell from the machine, by the reason.
SAME: dict[str, str] = {
    "holding: Lost in AWAY/COMING/ONLINE if REPLACED: always": "every other reason has a row above it",
}
AT_ONCE = os.cpu_count() or 2


@dataclass(frozen=True)
class Mutant:
    """One way to break a machine."""

    name: str
    apply: Callable[[], None]


def _name_of(rule: Any) -> str:
    on = str(rule.on) if isinstance(rule.on, Enum) else getattr(rule.on, "__name__", str(rule.on))
    when = f" if {rule.when.__qualname__}" if rule.when else ""
    return f"{on} in {'/'.join(sorted(phase.name for phase in rule.at))}{when}"


def mutants_of(table_name: str, words_name: str) -> Iterator[Mutant]:
    """Every mutant of one machine."""
    module, words = importlib.import_module(table_name), importlib.import_module(words_name)
    table = module.TABLE

    def put(index: int, *instead: Any) -> Callable[[], None]:
        return lambda: setattr(module, "TABLE", (*table[:index], *instead, *table[index + 1 :]))

    for index, rule in enumerate(table):
        name = _name_of(rule)
        yield Mutant(f"{name}: left out", put(index))
        for phase in type(next(iter(rule.at))):
            same = rule.to is None and rule.at == {phase}
            if phase is not rule.to and not same:
                yield Mutant(f"{name}: to {phase.name}", put(index, replace(rule, to=phase)))
        if rule.to is not None:
            yield Mutant(f"{name}: stays", put(index, replace(rule, to=None)))
        for at, act in enumerate(rule.do):
            short = replace(rule, do=rule.do[:at] + rule.do[at + 1 :])
            yield Mutant(f"{name}: without {act.__name__}", put(index, short))
        if rule.when is not None:
            when = rule.when
            yield Mutant(f"{name}: always", put(index, replace(rule, when=None)))
            yield Mutant(
                f"{name}: the opposite", put(index, replace(rule, when=lambda turn, when=when: not when(turn)))
            )
        for phase in rule.at if len(rule.at) > 1 else ():
            yield Mutant(f"{name}: not in {phase.name}", put(index, replace(rule, at=rule.at - {phase})))
    effects = words.Effect if hasattr(words, "Effect") else words.SessionEffect
    deeds = words.Deed if hasattr(words, "Deed") else words.Duty
    for effect in (*effects.__subclasses__(), *deeds):
        name = getattr(effect, "__name__", None) or rules.name_of(effect)
        yield Mutant(f"{name} is never done", _never(effect))


def _never(effect: object) -> Callable[[], None]:
    add = rules.Turn.add

    def apply() -> None:
        def without(turn: Any, *effects: Any) -> None:
            add(turn, *(one for one in effects if rules.kind_of(one) is not effect))

        setattr(rules.Turn, "add", without)  # noqa: B010 - mypy would not have a method assigned

    return apply


def _cases(modules: list[Any]) -> Iterator[Callable[[], object]]:
    """Every test of modules without fixtures, with each of its parameters. pytest itself would take ten times as long."""
    for name, function in (pair for module in modules for pair in vars(module).items()):
        if not name.startswith("test_"):
            continue
        calls: list[dict[str, Any]] = [{}]
        for mark in getattr(function, "pytestmark", ()):
            names, values = mark.args
            named = [one.strip() for one in names.split(",")] if isinstance(names, str) else list(names)
            rows = [dict(zip(named, one if len(named) > 1 else (one,), strict=True)) for one in values]
            calls = [{**call, **row} for call in calls for row in rows]
        for call in calls:
            yield partial(function, **call)


def _tried(mutant: Mutant, tests: list[Any]) -> int:
    """The process that runs the tests against the mutant; it ends with 0 when none has noticed it."""
    pid = os.fork()
    if pid:
        return pid
    signal.alarm(60)  # a mutant that never ends is noticed as well
    try:
        mutant.apply()
        for case in _cases(tests):
            case()
    except BaseException:
        os._exit(1)
    os._exit(0)


def survivors(machine: str) -> tuple[int, list[str]]:
    """How many mutants there are of a machine, and the names of those that no test notices."""
    table, words, tests = MACHINES[machine]
    modules = [importlib.import_module(one) for one in tests]
    every = list(mutants_of(table, words))
    left: list[str] = []
    running: dict[int, Mutant] = {}
    waiting = iter(every)
    while True:
        while len(running) < AT_ONCE and (mutant := next(waiting, None)) is not None:
            running[_tried(mutant, modules)] = mutant
        if not running:
            return len(every), left
        pid, status = os.wait()
        if os.waitstatus_to_exitcode(status) == 0:
            left.append(running[pid].name)
        del running[pid]


def main(asked: list[str]) -> int:
    """1 when a mutant survives without a reason."""
    unexplained = 0
    for machine in asked or list(MACHINES):
        count, left = survivors(machine)
        sys.stdout.write(f"{machine}: {count} mutants, {count - len(left)} noticed\n")
        for name in sorted(left):
            reason = SAME.get(f"{machine}: {name}")
            unexplained += reason is None
            sys.stdout.write(f"  {name}: {reason or 'SURVIVES'}\n")
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
