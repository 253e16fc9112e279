"""One emulator for these tests; each has its own phone and its own auth folder. No test may leave a violation behind."""

import itertools
import re

import pytest

from emulator.client import Emulator
from tests.baileys.client import Baileys

_NUMBERS = itertools.count(1)


@pytest.fixture
async def emulator(tmp_path):
    async with Emulator.start(tmp_path / "emulator", life=0) as running:
        yield running


@pytest.fixture
def tag(request):
    return re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())


@pytest.fixture
def phone(emulator):
    return emulator.phone(f"7901{next(_NUMBERS):07}")


@pytest.fixture
async def baileys(emulator, tag, tmp_path):
    """Starts Baileys: `async with baileys() as client`, again to resume the same folder."""
    yield lambda name="auth": Baileys.running(emulator, tmp_path / name, tag)
    wrong = ("client.violation", "emulator.failed")
    assert [event for event in await emulator.events(tag=tag) if event.kind in wrong] == []
