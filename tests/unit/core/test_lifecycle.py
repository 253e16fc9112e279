"""The table: no illegal step, no dead end, no state that cannot be had."""

import itertools

import pytest

from shared.core.lifecycle import (
    CANCELLABLE,
    DEVICE,
    RUNNING,
    STARTABLE,
    STEPS,
    IllegalStep,
    State,
    check_step,
    diagram,
)
from tests.each import each

ENDINGS = STARTABLE - {State.UNLINKED}


@each(("old", "new"), list(itertools.product(State, State)))
def test_a_step_is_allowed_exactly_when_the_table_says_so(old, new):
    if new in STEPS[old]:
        check_step(old, new)
        return
    with pytest.raises(IllegalStep, match=f"{old.value} → {new.value}"):
        check_step(old, new)


def reached_from(start):
    found: set[State] = set()
    todo = [start]
    while todo:
        state = todo.pop()
        for following in STEPS[state] - found:
            found.add(following)
            todo.append(following)
    return found


def test_the_table_has_a_row_for_every_state():
    assert set(STEPS) == set(State)


def test_every_state_can_be_reached_from_the_beginning():
    assert reached_from(State.UNLINKED) == set(State)


@each("state", sorted(RUNNING))
def test_every_running_state_can_fail_at_once(state):
    assert State.FAILED in STEPS[state]


@each("state", sorted(State))
def test_from_every_state_there_is_a_way_to_linked(state):
    assert State.LINKED in reached_from(state)


@each("state", sorted(CANCELLABLE))
def test_every_cancellable_state_has_a_step_to_cancelled(state):
    assert State.CANCELLED in STEPS[state]
    assert State.EXPIRED in STEPS[state]


def test_once_the_phone_has_agreed_it_cannot_be_cancelled():
    assert STEPS[State.LINKING] == {State.LINKED, State.FAILED}
    assert State.LINKING not in CANCELLABLE


@each("state", sorted(STARTABLE))
def test_every_startable_state_has_a_step_to_queued(state):
    assert State.QUEUED in STEPS[state]


def test_a_state_is_startable_or_running_or_has_a_device_and_never_two_of_them():
    assert set(State) == STARTABLE | RUNNING | DEVICE
    assert len(STARTABLE) + len(RUNNING) + len(DEVICE) == len(State)


@each("state", sorted(ENDINGS))
def test_an_ending_is_left_only_by_a_new_request_or_by_a_device(state):
    assert STEPS[state] == {State.QUEUED, State.RECONNECTING, State.UNLINKED}


def test_the_diagram_draws_every_step_once():
    arrows = [line.strip() for line in diagram().splitlines() if "[*]" not in line and "-->" in line]
    assert sorted(arrows) == sorted(f"{old.value} --> {new.value}" for old in STEPS for new in STEPS[old])
