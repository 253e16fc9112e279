"""How many sockets, how many messages: a bucket each, and nothing left over."""

import asyncio
from collections import Counter

import pytest

from app.page.limits import MESSAGES_AT_ONCE, MESSAGES_PER_SECOND, Pace, Place
from app.page.slot import SocketEnded
from shared.core.hosts import neighbourhood
from shared.core.protocol import CloseCode


async def test_a_place_too_many_is_refused_and_a_place_given_back_is_free():
    taken = Counter[str]()
    async with Place(taken, "link:1", 2), Place(taken, "link:1", 2):
        with pytest.raises(SocketEnded) as refused:
            async with Place(taken, "link:1", 2):
                pass
        assert refused.value.code is CloseCode.TOO_MANY
        async with Place(taken, "link:2", 2):
            pass
    async with Place(taken, "link:1", 1):
        pass


async def test_nothing_is_kept_of_those_who_have_gone():
    taken = Counter[str]()
    for number in range(1000):
        with pytest.raises(RuntimeError, match="the socket broke"):
            async with Place(taken, f"address:{number}", 1):
                raise RuntimeError("the socket broke")
    assert not taken


class Clock:
    """The loop's clock, turned by hand."""

    def __init__(self, monkeypatch):
        self.now = 1000.0
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: self.now)


async def test_a_burst_is_let_through_and_the_next_is_too_much(monkeypatch):
    with monkeypatch.context() as patch:
        Clock(patch)
        pace = Pace()
        for _ in range(int(MESSAGES_AT_ONCE)):
            pace.take()
        with pytest.raises(SocketEnded) as refused:
            pace.take()
    assert refused.value.code is CloseCode.TOO_MANY


async def test_a_steady_speaker_is_never_refused(monkeypatch):
    with monkeypatch.context() as patch:
        clock = Clock(patch)
        pace = Pace()
        for _ in range(1000):
            clock.now += 1 / MESSAGES_PER_SECOND
            pace.take()


async def test_a_long_silence_fills_the_bucket_and_no_more(monkeypatch):
    with monkeypatch.context() as patch:
        clock = Clock(patch)
        pace = Pace()
        clock.now += 3600
        for _ in range(int(MESSAGES_AT_ONCE)):
            pace.take()
        with pytest.raises(SocketEnded):
            pace.take()


@pytest.mark.parametrize(
    ("host", "counted"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("testclient", "testclient"),
        ("x" * 1000, "x" * 64),
        ("", ""),
    ],
)
def test_a_household_with_many_addresses_counts_as_one(host, counted):
    assert neighbourhood(host) == counted
