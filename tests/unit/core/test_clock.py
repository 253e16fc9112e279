"""Moments are Redis', and what passes is counted by the monotonic clock: a host's own clock is believed by nobody."""

import time

import pytest

from shared.core import clock
from tests.each import each

SECOND = 1_000_000_000


@pytest.fixture
def host(monkeypatch):
    """A host whose clocks stand still until they are moved."""

    class Host:
        wall, mono = 1_800_000_000 * SECOND, 5 * SECOND

        def passes(self, seconds):
            self.wall += int(seconds * SECOND)
            self.mono += int(seconds * SECOND)

    one = Host()
    monkeypatch.setattr(time, "time_ns", lambda: one.wall)
    monkeypatch.setattr(time, "monotonic_ns", lambda: one.mono)
    monkeypatch.setattr(clock, "_clock", type(clock._clock)())
    return one


def told(host, ahead):
    """Redis says a time that differs from the host's by so many seconds."""
    clock.set_by((host.wall + ahead * SECOND) // 1000, host.mono, host.mono)


def test_before_redis_has_told_the_hosts_clock_is_all_there_is(host):
    assert clock.now_ms() == 1_800_000_000_000
    assert clock.skew_ms() == 0


def test_redis_time_goes_on_whatever_the_hosts_clock_does(host):
    told(host, 30)
    assert clock.now_ms() == 1_800_000_030_000
    assert clock.skew_ms() == -30_000
    host.passes(10)
    host.wall -= 3600 * SECOND  # somebody sets it
    assert clock.now_ms() == 1_800_000_040_000
    assert clock.in_words(clock.skew_ms()) == "3630 s late"


def test_a_difference_within_the_delay_of_the_answer_is_ignored_and_a_drift_is_learnt(host):
    told(host, 0)
    clock.set_by((host.wall + SECOND // 100) // 1000, host.mono, host.mono)
    assert clock.now_ms() == 1_800_000_000_000
    clock.set_by((host.wall - SECOND // 5) // 1000, host.mono - SECOND, host.mono)
    assert clock.now_ms() == 1_800_000_000_000, "the answer took a second"
    told(host, 1)
    assert clock.now_ms() == 1_800_000_001_000


@each(("skew", "word"), [(0, "ok"), (1999, "ok"), (-2000, "ok"), (2001, "2 s ahead"), (-30_000, "30 s late")])
def test_a_clock_is_off_when_people_should_know(skew, word):
    assert clock.in_words(skew) == word
