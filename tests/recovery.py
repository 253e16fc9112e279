"""How long recovery took, held against its bound (docs/recovery.md), and printed as a table at the end of a run.

They are for `tests/conftest.py`: under xdist the one who prints collects nothing, so it loads no other conftest.
"""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pytest
from _pytest.terminal import TerminalReporter

LOOK_SECONDS = 0.05
TABLE = Path(__file__).parents[1] / ".pytest_cache" / "recovery"


class Recovery:
    """The stopwatch."""

    @contextmanager
    def within(self, what: str, seconds: float) -> Iterator[None]:
        """The block must end within so many seconds (see `at_most`)."""
        with at_most(seconds, what) as stopwatch:
            yield
        TABLE.parent.mkdir(exist_ok=True)
        with TABLE.open("a") as table:
            table.write(f"{what}\t{stopwatch.took:.1f}\t{stopwatch.most:.0f}\n")


@dataclass
class Stopwatch:
    """How long a block took, and how long it might have taken; in seconds, known at its end."""

    took: float = 0.0
    most: float = 0.0


@contextmanager
def at_most(seconds: float, what: str = "it") -> Iterator[Stopwatch]:
    """The block must end within so many seconds of a machine that has nothing else to do. Where others wait for the
    processor as well, it has as many times longer as there are of them for each."""
    stopwatch, began = Stopwatch(), time.monotonic()
    with Crowd() as crowd:
        yield stopwatch
    stopwatch.took, stopwatch.most = time.monotonic() - began, seconds * crowd.each
    told = f"{what} took {stopwatch.took:.1f} s, and may take {seconds} s, with {crowd.each:.1f} at each processor"
    assert stopwatch.took <= stopwatch.most, told


class Crowd:
    """How many wanted each processor while the block lasted: 1 at least, on average."""

    def __init__(self) -> None:
        self._over = threading.Event()
        self._seen: list[int] = []
        self._looking = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._looking.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._looking.join()

    @property
    def each(self) -> float:
        return max(1.0, sum(self._seen) / len(self._seen) / (os.cpu_count() or 1)) if self._seen else 1.0

    def _look(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            running, _, _ = Path("/proc/loadavg").read_text().split()[3].partition("/")
            self._seen.append(int(running) - 1)  # without this thread


def pytest_sessionstart(session: pytest.Session) -> None:
    """A new run, a new table; under xdist, made by the one who prints it."""
    if not hasattr(session.config, "workerinput"):
        TABLE.unlink(missing_ok=True)


def print_table(terminalreporter: TerminalReporter) -> None:
    """Print it if anything was timed."""
    if not TABLE.exists():
        return
    terminalreporter.section("recovery (seconds taken, seconds allowed)")
    for line in sorted(TABLE.read_text().splitlines()):
        what, took, most = line.split("\t")
        terminalreporter.write_line(f"{took:>6} {most:>4}  {what}")
    TABLE.unlink()
