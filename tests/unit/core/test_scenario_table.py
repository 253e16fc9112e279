"""The scenario table is whole: every failure is in it, every fault exists, every word is there."""

import itertools
import json
from pathlib import Path

from emulator.faults import Fault
from shared.core.failures import FAILURES, FailureCode
from shared.core.lifecycle import STEPS, State
from tests.each import each
from tests.scenarios import SCENARIOS

LOCALES = sorted((Path(__file__).parents[3] / "frontend" / "locales").glob("*.json"))

#: Failures that no phone and no server can bring about: an operator's switch, and the death of our own processes.
ELSEWHERE = {
    FailureCode.PAUSED: "tests/unit",
    FailureCode.NO_ROOM: "tests/unit",
    FailureCode.WORKER_LOST: "tests/chaos",
}


def test_there_are_forty_rows_and_more_and_each_has_a_name_of_its_own():
    assert len({scenario.name for scenario in SCENARIOS}) == len(SCENARIOS) >= 40


def test_every_failure_is_in_the_table_or_is_tested_elsewhere():
    assert {scenario.failure for scenario in SCENARIOS} - {None} == set(FailureCode) - set(ELSEWHERE)


@each("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_row_is_possible(scenario):
    states = [State(name) for name in scenario.states.split() if name != "refused"]
    for old, new in itertools.pairwise(states):
        assert new in STEPS[old]
    for arm in scenario.arms:
        assert Fault(arm.fault)
    for locale in LOCALES:
        assert scenario.text in json.loads(locale.read_text(encoding="utf-8")), locale.name


@each("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_sentry_hears_of_failures_that_alert_and_of_nothing_else(scenario):
    codes = {scenario.failure} | {code for code in FailureCode if f'"{code.value}"' in scenario.counts}
    alerts = any(FAILURES[code].alerts for code in codes if code is not None)
    assert scenario.sentry == alerts


def test_the_mistakes_of_people_alert_nobody():
    assert not [s.name for s in SCENARIOS if s.sentry and s.failure and not FAILURES[s.failure].alerts]
