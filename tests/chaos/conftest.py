"""The chaos suite: real processes are killed, stopped and cut off; how long recovery took is printed as a table."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from _pytest.terminal import TerminalReporter

from tests.e2e.fixtures import emulator, folder, own_redis
from tests.postgres.conftest import own_postgres

__all__ = ["emulator", "folder", "own_postgres", "own_redis"]

TABLE = Path(__file__).parent / ".recovery"


class Recovery:
    """Measures how long something took, and holds it against its bound (docs/recovery.md)."""

    @contextmanager
    def within(self, what: str, seconds: float) -> Iterator[None]:
        """The block must end within so many seconds."""
        began = time.monotonic()
        yield
        took = time.monotonic() - began
        with TABLE.open("a") as table:
            table.write(f"{what}\t{took:.1f}\t{seconds:.0f}\n")
        assert took <= seconds, f"{what} took {took:.1f} s, and may take {seconds} s"


@pytest.fixture
def recovery() -> Recovery:
    """The stopwatch."""
    return Recovery()


def pytest_sessionstart(session: pytest.Session) -> None:
    """A new run, a new table; under xdist, made by the one who prints it."""
    if not hasattr(session.config, "workerinput"):
        TABLE.unlink(missing_ok=True)


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Print the table."""
    if not TABLE.exists():
        return
    terminalreporter.section("recovery (seconds taken, seconds allowed)")
    for line in sorted(TABLE.read_text().splitlines()):
        what, took, most = line.split("\t")
        terminalreporter.write_line(f"{took:>6} {most:>4}  {what}")
    TABLE.unlink()
