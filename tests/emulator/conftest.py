"""One emulator for the tests of this process; each test has its own tag and its own phone numbers."""

import itertools
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from emulator.client import Emulator
from tests.emulator.harness import Client

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def emulator_process(tmp_path_factory):
    state = tmp_path_factory.mktemp("emulator")
    command = [sys.executable, "-m", "emulator", f"--state-dir={state}", "--life=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as process:
        yield json.loads(process.stdout.readline())
        process.terminate()
        assert process.wait(10) == 0


@pytest.fixture
async def emulator(emulator_process):
    async with await Emulator.attach(emulator_process["control_port"]) as attached:
        yield attached


@pytest.fixture
def tag(request):
    return re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())


@pytest.fixture
def phone(emulator):
    return emulator.phone(f"7900{next(_NUMBERS):07}")


@pytest.fixture
async def start(emulator, tag, tmp_path):
    """Starts a neonize: `await start()`, again with the same name to resume the same database."""
    clients = []

    async def begin(name="session", on=None):
        environment = (on or emulator).client_env(tag=tag)
        client = await Client.start(environment, tmp_path / f"{name}.db")
        clients.append(client)
        return client

    yield begin
    for client in clients:
        await client.kill()
    wrong = ("client.violation", "emulator.failed", "stanza.unknown")
    assert [event for event in await emulator.events(tag=tag) if event.kind in wrong] == []
    assert [event for event in await emulator.events(tag="") if event.kind == "emulator.failed"] == []


@pytest.fixture
async def linked(emulator, start, phone):
    """A neonize that is linked with `phone` and connected."""
    client = await start()
    assert await phone.scan(await client.qr()) == "confirmed"
    await client.until("Connected")
    await emulator.wait_for("device.connected", phone=phone.number)
    return client
