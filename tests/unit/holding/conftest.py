"""Houses for the tests of held sessions."""

import pytest

from shared.core.clock import now_ms
from tests.unit.holding.house import HOUR_AGO, House


@pytest.fixture
def house(redis):
    return House(redis, now_ms() - HOUR_AGO)


@pytest.fixture
def fresh(redis):
    return House(redis, now_ms())
