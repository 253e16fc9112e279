"""What all tests share: a real Redis, a Chromium, and the guard that nothing is left behind.

Give a test `redis_server` for the address of a real Redis of this test process, emptied before the test; give it
`chromium_executable` for a browser (and mark it `browser`).
"""

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from _pytest.terminal import TerminalReporter
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from app.local import redis as local_redis
from tests import chromium, recovery, second_client
from tests.leaks import Leaks
from tests.recovery import pytest_sessionstart
from tests.seeds import pytest_runtest_makereport

__all__ = ["pytest_runtest_makereport", "pytest_sessionstart"]

# Tests meet errors by the hundred, and structlog's own default draws each with all its variables: seconds for one.
structlog.configure(
    processors=[
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S"),
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ]
)


@pytest.hookimpl(trylast=True)
class ByFile(LoadScopeScheduling):
    """A file's tests run on one process, which keeps their service and their browser; so does the whole chaos suite,
    which times recoveries and shall not compete with itself. Only the states of the page, which come last and take two
    minutes, are shared out one by one. (xdist's own groups do not work with pytest 9.2.)"""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", 1)[0]
        if "::test_every_state" in nodeid:
            return nodeid
        return "chaos" if "tests/chaos/" in file else file


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """What a run says at its end. Under xdist every process has a summary; the others' is seen by nobody."""
    if not hasattr(terminalreporter.config, "workerinput"):
        recovery.print_table(terminalreporter)
        second_client.print_line(terminalreporter)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """How `pytest -n` shares the tests out."""
    return ByFile(config, log)


#: Files that wait most of their time, for the library's and WhatsApp's own clocks, or for pip. They are spread among those that
#: compute, or else the processor idles while they all wait at once, and is fought for before and after.
PATIENT = (
    "engine/test_holder.py",
    "e2e/test_real_time.py",
    "engine/test_linker.py",
    "e2e/test_scenarios.py",
    "e2e/test_webhooks.py",
    "emulator/test_sessions.py",
    "operators/test_game_day.py",
    "tooling/test_venv.py",
    "integration/test_ownership.py",
    "integration/test_queue_faults.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the tests in order: those that start services, with the patient ones among them; the units; and last the page,
    whose browser (Playwright's synchronous one) keeps a loop running in this thread, in which no other can run until it
    is gone."""
    here = Path(__file__).parent
    last = ("unit", "page")
    files = dict.fromkeys(item.path.relative_to(here).as_posix() for item in items)
    patient = [file for file in PATIENT if file in files]
    busy = [file for file in files if file not in PATIENT and not file.startswith(last)]
    place = {file: float(index) for index, file in enumerate(busy)}
    place |= {file: index * len(busy) / len(patient) - 0.5 for index, file in enumerate(patient)}

    def order(item: pytest.Item) -> tuple[int, float]:
        file = item.path.relative_to(here).as_posix()
        folder = file.split("/", 1)[0]
        return last.index(folder) + 1 if folder in last else 0, place.get(file, 0)

    items.sort(key=order)


@pytest.fixture(scope="session", autouse=True)
def nothing_left_behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Fails when the tests of this process left a process, a listening port or a temporary file.

    Temporary files go to a folder of this process, so that those of others on the machine do not count. It lies
    directly under the system's, because a Unix socket's path must be short.
    """
    tmp_path_factory.getbasetemp()  # made before TMPDIR changes: pytest clears it up by its own rule
    folder = Path(tempfile.mkdtemp(prefix="wa-test-"))
    before = os.environ.get("TMPDIR")
    os.environ["TMPDIR"] = str(folder)
    tempfile.tempdir = None
    leaks = Leaks.watch()
    yield
    found = leaks.found(folder)
    tempfile.tempdir = None
    if before is None:
        del os.environ["TMPDIR"]
    else:
        os.environ["TMPDIR"] = before
    shutil.rmtree(folder, ignore_errors=True)
    assert not found, "the tests left behind:\n" + "\n".join(found)


@pytest.fixture(scope="session")
def redis_process(nothing_left_behind: None) -> Iterator[local_redis.LocalRedis]:
    """One real Redis for the tests of this process."""
    folder = Path(tempfile.mkdtemp(prefix="redis-"))
    try:
        with local_redis.running(folder) as server:
            yield server
    finally:
        shutil.rmtree(folder)


def empty(server: local_redis.LocalRedis) -> None:
    """Have a Redis forget everything."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        password = server.url.split(":")[2].split("@")[0]
        client.sendall(f"AUTH {password}\r\nFLUSHALL\r\n".encode())
        answer = b""
        while answer.count(b"+OK") < 2:
            piece = client.recv(256)
            assert piece, answer
            answer += piece


@pytest.fixture
def redis_server(redis_process: local_redis.LocalRedis) -> str:
    """The URL of a real Redis with nothing in it."""
    empty(redis_process)
    return redis_process.url


@pytest.fixture(scope="session")
def chromium_executable() -> str:
    """The path of a Chromium. Without one the test is skipped, and the summary says so."""
    if path := chromium.found():
        return path
    pytest.skip("NO CHROMIUM on this machine")
