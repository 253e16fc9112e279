"""A Redis that is only pretended (fakeredis with Lua), and what the tests of its scripts have in common."""

import time

import hypothesis
import pytest
from fakeredis import FakeAsyncRedis

from shared.core import clock
from shared.core.events import EventType
from shared.jobs.queue import client
from shared.state.events import EventShelf, News
from tests.unit.world import World

# How long an example takes says something of the machine, not of us.
hypothesis.settings.register_profile("ours", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("ours")


@pytest.fixture(autouse=True)
def unlearnt_clock(monkeypatch):
    """Each test begins before Redis has told its time: on a busy machine an earlier test learns it wrongly by 100 ms."""
    monkeypatch.setattr(clock._clock, "ahead", None)


@pytest.fixture
def moment(monkeypatch):
    """The moment (ms) at which the clocks of Redis and of this host stand still: hosts may set theirs back in a test."""
    stands = time.time_ns() // 1_000_000
    monkeypatch.setattr(time, "time_ns", lambda: stands * 1_000_000)
    monkeypatch.setattr(time, "time", lambda: stands / 1000)
    return stands


@pytest.fixture
async def redis():
    """Our client over a pretended Redis of this test."""
    fake = FakeAsyncRedis(version=(7,))
    ours = client(fake.connection_pool)
    yield ours
    await ours.aclose()
    await fake.aclose(close_connection_pool=True)


@pytest.fixture
def world(redis):
    return World(redis)


@pytest.fixture
def news():
    """News of every kind."""
    return News(tuple(EventType))


@pytest.fixture
def shelf(redis, news):
    """The shelf of events that wait for their receivers."""
    return EventShelf(redis, news)
