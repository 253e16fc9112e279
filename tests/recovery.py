"""How long recovery took, held against its bound (docs/recovery.md), and printed as a table at the end of a run.

They are for `tests/conftest.py`: under xdist the one who prints collects nothing, so it loads no other conftest.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from _pytest.terminal import TerminalReporter

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
            table.write(f"{what}\t{stopwatch.took:.1f}\t{seconds:g}\n")


@dataclass
class Stopwatch:
    """How long a block took, in seconds; known at its end."""

    took: float = 0.0


@contextmanager
def at_most(seconds: float, what: str = "it") -> Iterator[Stopwatch]:
    """The block must end within so many seconds, however busy the machine is."""
    stopwatch, began = Stopwatch(), time.monotonic()
    yield stopwatch
    stopwatch.took = time.monotonic() - began
    assert stopwatch.took <= seconds, f"{what} took {stopwatch.took:.1f} s, and may take {seconds} s"


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
