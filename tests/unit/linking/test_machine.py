"""Every order of events of an attempt, by the machine alone."""

import itertools

from shared.core.datum import replace
from shared.core.failures import FailureCode
from shared.core.lifecycle import RUNNING, STEPS, State
from shared.core.protocol import Method
from shared.state.claims import Subject
from tests.each import each
from tests.played import CODE, CONNECTED, RETRY_AT, Player, ended, paired, play, qr, word
from tests.scenarios import SCENARIOS
from tests.unit.linking.playing import (
    DEAD,
    LIMITS,
    NUMBER,
    OTHER,
    OUTDATED,
    PHONE,
    TOO_OLD,
    failure,
    kinds,
    linked,
    shown,
)
from workers.engine import protocol as pipe
from workers.linking import course as c
from workers.linking import machine
from workers.linking.course import Order, Phase


@each("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_row_of_the_scenario_table(scenario):
    player = play(scenario)
    wanted = scenario.states.split()
    linking = [state for state in wanted if state != "refused"]
    if "linked" in linking:
        linking = linking[: linking.index("linked") + 1]  # what happens later is the held session's
    assert player.states == linking
    if wanted[-1] == "refused" or len(linking) < len(wanted):
        return
    assert failure(player) == scenario.failure
    pattern = scenario.counts.replace("{}", "")
    assert [one for one in player.counted if one.startswith(pattern) or pattern in one], player.counted
    assert bool(player.alerts) == (scenario.level is not None)
    body = player.ending or player.course.body
    if scenario.retry_at:
        assert body.failure.retry_at is not None


EVENTS = [
    *Order,
    c.Began(True),
    c.Began(False, FailureCode.PAUSED),
    c.Learned(Subject("L", 0, phone=PHONE), Method.CODE),
    c.Learned(Subject("", 0)),
    c.CodeDenied(FailureCode.INTERNAL, raw="418"),
    c.Judged(False),
    c.Judged(True),
    c.Turning.LINK_SPENT,
    c.Turning.LINK_REVOKED,
    c.Turning.LOGGED_OUT,
    c.NewerSought(True, RETRY_AT, ""),
    c.NewerSought(False, RETRY_AT, ""),
    c.Turning.TIME_IS_UP,
    c.Broke("KeyError"),
    pipe.Ready(),
    qr(1),
    qr(2),
    CODE,
    pipe.CodeRefused(status=400, reason=""),
    word("error"),
    word("timeout"),
    word("success"),
    OUTDATED,
    TOO_OLD,
    paired(NUMBER),
    paired(OTHER[1:]),
    CONNECTED,
    ended("EOF"),
    ended("banned", pipe.LostReason.BANNED, RETRY_AT),
    DEAD,
]


def test_when_it_is_over_nothing_happens_any_more():
    player = linked()
    before = len(player.done)
    player.happen(*EVENTS)
    assert len(player.done) == before


def test_every_event_in_every_phase_obeys_the_lifecycle():
    phases = [Player(), Player().begin(), shown(), shown(phone=PHONE), shown().happen(paired(NUMBER))]
    for begun, *events in itertools.product(phases, EVENTS, EVENTS):
        player = begun.copy().happen(*events)
        states = [State(one) for one in player.states]
        for old, new in itertools.pairwise(states):
            assert new in STEPS[old], (events, states)
        over = player.course.phase is Phase.OVER
        gone = player.did(c.Restart) or Order.LOST in events
        assert over == (player.ending is not None or bool(gone))
        if not over:
            assert player.course.body.state in RUNNING


def test_every_row_of_the_table_is_reached():
    seen = set()
    for row in machine.TABLE:
        for phase in row.at:
            assert isinstance(phase, Phase)
        seen.add((row.on, row.at, row.when))
    assert len(seen) == len(machine.TABLE)


def keeping(**options):
    """An attempt whose device is being made durable."""
    player = shown(**options).happen(paired(NUMBER))
    player.course = replace(player.course, phase=Phase.KEEPING)
    return player


@each("event", [c.Broke("KeyError"), c.Turning.TIME_IS_UP, Order.LOST])
@each("begin", [Player, lambda: Player().begin(), shown, lambda: shown().happen(paired(NUMBER)), keeping])
def test_a_fault_the_deadline_and_a_lost_lease_end_every_phase(begin, event):
    player = begin().happen(event)
    assert player.course.phase is Phase.OVER
    assert player.did(c.HangUp)


@each("order", [Order.CANCEL, Order.UNLINK, Order.HAND_OVER])
def test_an_attempt_can_be_taken_back_before_it_knows_whom_it_is_about(order):
    player = Player().happen(order)
    assert player.course.phase is Phase.OVER
    assert player.did(c.HangUp)


def test_an_unlink_while_the_device_is_made_durable_is_remembered():
    player = keeping().happen(Order.UNLINK)
    assert player.course.unlink
    assert player.course.phase is Phase.KEEPING


ENDINGS = [
    word("a new word"),
    word("timeout"),
    ended("EOF"),
    CONNECTED,
    paired(OTHER[1:]),
    c.Turning.TIME_IS_UP,
    c.Broke("KeyError"),
    Order.CANCEL,
    Order.UNLINK,
]


@each("begin", [lambda: Player().begin(), shown])
@each("event", ENDINGS)
def test_nothing_is_left_of_the_connection_when_an_attempt_ends(begin, event):
    player = begin().happen(event)
    if event == paired(OTHER[1:]) and begin is shown:
        assert player.course.phase is Phase.AGREED
    else:
        order = kinds(player)
        assert order.index("HangUp") < order.index("End")


def test_nothing_is_left_of_a_connection_that_is_made_anew():
    for event in (word("error"), DEAD):
        order = kinds(shown().happen(event))
        assert order.index("HangUp") < order.index("Advance")
        order = kinds(Player().begin().happen(event))
        assert order.index("HangUp") < order.index("Advance")


def test_when_the_rotation_is_over_the_attempt_is():
    player = shown().later(LIMITS.qr).happen(word("timeout"))
    assert player.course.phase is Phase.OVER
    assert player.did(c.HangUp)


def test_a_phone_that_was_logged_out_again_ends_the_attempt():
    assert linked(expected=OTHER).course.phase is Phase.OVER
