"""Real engine processes, the real library, and the emulator for a WhatsApp."""

import itertools
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from emulator.client import Emulator
from tests.engine.steps import Linked, Steps
from workers.engine.pool import LinkerPool
from workers.engine.processes import Engines, Holder, Options

OPTIONS = Options(device_name="Salon Vesna")
FAKE = Path(__file__).parent / "fake"

_numbers = itertools.count(79_100_000_000 + os.getpid() * 1000)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def emulator_port(nothing_left_behind: None) -> AsyncIterator[int]:
    """One emulator for the tests of this process; each test has a tag and numbers of its own."""
    async with Emulator.start(life=0) as emulator:
        yield emulator.control_port


@pytest.fixture
async def emulator(emulator_port: int) -> AsyncIterator[Emulator]:
    """The emulator, seen from the test's own loop."""
    async with await Emulator.attach(emulator_port) as emulator:
        yield emulator


@pytest.fixture
def tag(request: pytest.FixtureRequest) -> str:
    """What the emulator calls this test."""
    return f"{request.node.name[:40]}-{next(_numbers)}"


@pytest.fixture
def environment(emulator: Emulator, tag: str) -> dict[str, str]:
    """The environment of processes that talk to the emulator."""
    return os.environ | emulator.client_env(tag, python_path=os.environ.get("PYTHONPATH", ""))


@pytest.fixture
async def engines(environment: dict[str, str]) -> AsyncIterator[Engines]:
    async with Engines(OPTIONS, environment) as engines:
        yield engines


@pytest.fixture
async def steps(engines: Engines, emulator: Emulator, tag: str, tmp_path: Path) -> AsyncIterator[Steps]:
    """What a test does again and again."""
    async with LinkerPool(engines, spares=1) as pool:
        yield Steps(engines, pool, emulator, tag, tmp_path, _numbers)


@pytest.fixture
async def linked(steps: Steps) -> Linked:
    """A device that was linked just now."""
    return await steps.link()


@pytest.fixture
async def holder(steps: Steps) -> AsyncIterator[Holder]:
    """A holder, which holds nothing yet."""
    async with steps.holder() as holder:
        yield holder


@pytest.fixture
async def lonely() -> AsyncIterator[Engines]:
    """Engines without any server: nothing in these tests may dial."""
    async with Engines(OPTIONS, os.environ | {"HTTPS_PROXY": "http://127.0.0.1:1"}) as engines:
        yield engines


@pytest.fixture
async def acting() -> AsyncIterator[Engines]:
    """Engines whose linkers are `fake/linker.py`: they do what the `database` of their `start` says."""
    environment = os.environ | {"PYTHONPATH": str(FAKE), "WA_FAKE_LINKER": "1", "HTTPS_PROXY": "http://127.0.0.1:1"}
    async with Engines(OPTIONS, environment) as engines:
        yield engines
