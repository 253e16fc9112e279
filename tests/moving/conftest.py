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
AT_ONCE = 3
"""Clients that link at the same time. Each makes 812 keys first, all in one thread."""


def group_of(number):
    """The name of the group in which the contact and this number are."""
    return f"120363{number}"


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
        (phone,) = (await self.links_all({name: number})).values()
        return phone

    async def links_all(self, numbers, *, before_the_end=None):
        """The same for many numbers by their names, in one process; their phones. `before_the_end(clients)` runs at last."""
        phones = {name: self.emulator.phone(number) for name, number in numbers.items()}
        async with Baileys.fleet(self.emulator, [self.top / name for name in numbers], tag="old") as clients:
            turn = asyncio.Semaphore(AT_ONCE)
            await asyncio.gather(*(self._begin(turn, clients[name], phone) for name, phone in phones.items()))
            if before_the_end is not None:
                await before_the_end(clients)
        for name in numbers:
            self.rest(name)
        return phones

    async def _begin(self, turn, client, phone):
        async with turn:
            await client.do("connect")
            qr = await client.until("qr")
            assert await phone.scan(qr["text"]) == "confirmed"
            await client.until("open")
            await self._talks_first(client, phone)

    async def _talks_first(self, client, phone):
        group = await self.emulator.group(group_of(phone.number), [CONTACT, phone.number])
        await self.talks(client, phone.number, "first")
        in_group = await self.contact.say(group, "to all")
        await client.until("message", id=in_group, text="to all")

    async def links_elsewhere(self, folder, number):
        """Links the number with another client, whose folder is no part of the old system."""
        async with Baileys.running(self.emulator, folder, tag="elsewhere") as client:
            qr = await client.until("qr")
            assert await self.emulator.phone(number).scan(qr["text"]) == "confirmed"
            await client.until("open")

    async def talks(self, client, number, words):
        """A text of the company, and an answer of the contact."""
        await client.do("send", to=CONTACT, text=f"{client.name}: {words}")
        await client.until("sent")
        said = await self.contact.say(number, f"answer to {words}")
        await client.until("message", id=said)

    def rest(self, name, seconds=3600):
        """As if the session had been stopped that long ago."""
        self.rests(*(self.top / name).iterdir(), seconds=seconds)

    @staticmethod
    def rests(*files, seconds=3600):
        """The same for files."""
        then = time.time() - seconds
        for file in files:
            os.utime(file, (then, then))


@pytest.fixture
def old(emulator, tmp_path):
    (tmp_path / "old").mkdir()
    return Old(emulator, tmp_path / "old")


def started_beside(stack):
    """Starts `onboarding …` beside a service."""

    async def start(*words):
        names = ("PATH", "HOME", "WA_TEST_RUN")
        env = {**{name: os.environ[name] for name in names if name in os.environ}, **stack.environment}
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "app.cli", *words),
            cwd=ROOT,
            env=env,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )

    return start


def command_beside(stack):
    """Runs `onboarding …` beside a service: its exit code, what it told (one JSON object a line), and all that it said."""
    start = started_beside(stack)

    async def run(*words):
        process = await start(*words)
        out, err = await process.communicate()
        assert b"Traceback" not in err, err.decode()
        told = [json.loads(line) for line in out.decode().splitlines() if line.startswith("{")]
        return process.returncode, told, out.decode() + err.decode()

    return run


@pytest.fixture
def command(stack):
    """Runs `onboarding …` beside the service."""
    return command_beside(stack)
