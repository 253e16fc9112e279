"""The time of these tests, which is played."""

import time
from collections.abc import Callable

import pytest


@pytest.fixture(autouse=True)
def pass_ms(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Let so many ms pass, for the pretended Redis and for us. No other time passes: a machine that stands still for longer
    than a lease lives must not cost a test its lease."""
    now_ns = time.time_ns()

    def pass_ms(ms: int) -> None:
        nonlocal now_ns
        now_ns += ms * 1_000_000

    monkeypatch.setattr(time, "time_ns", lambda: now_ns)
    monkeypatch.setattr(time, "time", lambda: now_ns / 1e9)
    return pass_ms
