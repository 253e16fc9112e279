"""Companies that real Baileys linked and talked with, and a service of ours that takes them over."""

import asyncio
import json
import os
import sys
import time
from pathlib import Path

import pytest

from app.local import redis as local_redis
from emulator.client import Emulator
from tests.baileys.client import Baileys, installed
from tests.e2e.stack import Stack

ROOT = Path(__file__).parents[2]
CONTACT = "79028888888"


@pytest.fixture
async def emulator(tmp_path):
    installed()
    async with Emulator.start(tmp_path / "emulator", life=0) as running:
        yield running


@pytest.fixture
async def stack(emulator, tmp_path):
    """A service without a worker yet, on a Redis of its own."""
    with local_redis.running(tmp_path / "redis") as redis:
        async with Stack.running(emulator, redis.url, tmp_path / "data", workers=0) as running:
            yield running


class Old:
    """The old system: one Baileys for each company, in folders below `top`."""

    def __init__(self, emulator, top):
        self.emulator, self.top = emulator, top
        self.contact = emulator.phone(CONTACT)

    def client(self, name):
        return Baileys.running(self.emulator, self.top / name, tag="old")

    async def links(self, name, number):
        """Links `number` as the session `name`, and has it talk with the contact; then the old system stops."""
        phone = self.emulator.phone(number)
        async with self.client(name) as client:
            qr = await client.until("qr")
            assert await phone.scan(qr["text"]) == "confirmed"
            await client.until("open")
            await client.do("send", to=CONTACT, text=f"{name}: first")
            await client.until("sent")
            said = await self.contact.say(number, "answer")
            await client.until("message", id=said)
        self.rest(name)
        return phone

    def rest(self, name, seconds=3600):
        """As if the session had been stopped that long ago."""
        then = time.time() - seconds
        for file in (self.top / name).iterdir():
            os.utime(file, (then, then))


@pytest.fixture
def old(emulator, tmp_path):
    (tmp_path / "old").mkdir()
    return Old(emulator, tmp_path / "old")


@pytest.fixture
def command(stack):
    """Runs `onboarding …` beside the service: its exit code, and what it told, one JSON object a line."""

    async def run(*words):
        names = ("PATH", "HOME", "WA_TEST_RUN")
        env = {**{name: os.environ[name] for name in names if name in os.environ}, **stack.environment}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "app.cli", *words),
            cwd=ROOT,
            env=env,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        assert b"Traceback" not in err, err.decode()
        lines = out.decode().splitlines()
        return (
            process.returncode,
            [json.loads(line) for line in lines if line.startswith("{")],
            out.decode() + err.decode(),
        )

    return run
