"""The time. Moments are told by Redis' clock, since hosts' clocks differ. Durations are told by the host's monotonic clock.

A process learns Redis' time with its first connection (shared/state/connections.py), and with each look at the switches
(shared/state/switches.py). Before that, and without Redis, it goes by the host's clock.
"""

import time
from dataclasses import dataclass

SKEWED_MS = 2_000
"""A host's clock that differs from Redis' by more is told to the operators."""
_LEAST_MS = 50
"""Smaller differences are ignored, because the answer's way through the network may cause them."""


@dataclass(slots=True)
class _Clock:
    """`ahead`: ns since the epoch by Redis, minus ns of the monotonic clock; None before Redis has told."""

    ahead: int | None = None

    def now_ns(self) -> int:
        return time.time_ns() if self.ahead is None else time.monotonic_ns() + self.ahead


_clock = _Clock()


def now_ms() -> int:
    """Milliseconds since the epoch, UTC."""
    return _clock.now_ns() // 1_000_000


def set_by(told_us: int, asked_ns: int, answered_ns: int) -> None:
    """Take Redis' time (µs since the epoch), which was told between these two moments (ns) of the monotonic clock."""
    ahead = told_us * 1000 - (asked_ns + answered_ns) // 2
    doubt = _LEAST_MS * 1_000_000 + (answered_ns - asked_ns) // 2
    if _clock.ahead is None or abs(ahead - _clock.ahead) > doubt:
        _clock.ahead = ahead


def skew_ms() -> int:
    """Lead of this host's clock over Redis', in ms; below 0 it is late."""
    return (time.time_ns() - _clock.now_ns()) // 1_000_000


def of_host(moment: int) -> int:
    """A moment by Redis' clock, of one that another process has read from this host's clock (ms)."""
    return moment - skew_ms()


def in_words(skew: int) -> str:
    """`ok`, or how far a clock is off: `30 s late`."""
    if abs(skew) <= SKEWED_MS:
        return "ok"
    return f"{abs(skew) // 1000} s {'late' if skew < 0 else 'ahead'}"
