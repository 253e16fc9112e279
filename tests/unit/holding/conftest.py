"""Houses for the tests of held sessions, and a line out of one for those of texts."""

import pytest

from shared.core.clock import now_ms
from tests.unit.holding.house import HOUR_AGO, House
from tests.unit.holding.line import Line
from workers.holding import outgoing as module
from workers.jobs import Jobs
from workers.places import Places


@pytest.fixture
def house(redis):
    return House(redis, now_ms() - HOUR_AGO)


@pytest.fixture
def fresh(redis):
    return House(redis, now_ms())


@pytest.fixture
def line(redis, monkeypatch):
    monkeypatch.setattr(module, "AGAIN_SECONDS", 0.01)
    return Line(redis, now_ms() - HOUR_AGO)


@pytest.fixture
def jobs(line):
    return Jobs(line.redis, line.leases, line.ownership, None, line.sessions, None, Places(1), None, line.spawn)
