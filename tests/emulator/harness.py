"""The real neonize in its own process, seen from a test: what it says, and what it is told to do."""

import asyncio
import json
import os
import sys
from pathlib import Path

DRIVER = Path(__file__).with_name("driver.py")
PATIENCE = 60.0


class Client:
    """One process of neonize with one database. Its lines are kept; `until` looks at those not yet looked past."""

    def __init__(self, process):
        self._process = process
        self._lines = []
        self._seen = 0
        self._news = asyncio.Condition()
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, environment, database):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(DRIVER),
            str(database),
            env=os.environ | {"NEONIZE_BOT_TAG": "off"} | environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=1 << 20,
        )
        return cls(process)

    async def _read(self):
        while line := await self._process.stdout.readline():
            async with self._news:
                self._lines.append(json.loads(line))
                self._news.notify_all()
        async with self._news:
            self._lines.append({"event": "gone"})
            self._news.notify_all()

    def tell(self, **order):
        """Gives it a command (driver.py lists them)."""
        self._process.stdin.write(json.dumps(order).encode() + b"\n")

    async def until(self, *events, seconds=PATIENCE):
        """The next line of one of these events; the lines before it are looked past."""
        try:
            async with asyncio.timeout(seconds), self._news:
                while True:
                    while self._seen < len(self._lines):
                        line = self._lines[self._seen]
                        self._seen += 1
                        if line["event"] in events:
                            return line
                        assert line["event"] != "gone", f"neonize died before {events}: {self._lines}"
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"no {events} within {seconds} s, but {self._lines}") from None

    async def receipts(self, message, count=1, seconds=PATIENCE):
        """The first receipts of one message, wherever they stand: a phone may answer before `send` has returned."""
        try:
            async with asyncio.timeout(seconds), self._news:
                while True:
                    found = [line for line in self._lines if line["event"] == "receipt" and message in line["ids"]]
                    if len(found) >= count:
                        return found[:count]
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"no {count} receipts of {message} within {seconds} s, but {self._lines}") from None

    def heard(self, event):
        """Whether it said this so far."""
        return any(line["event"] == event for line in self._lines)

    async def kill(self):
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        await self._reading
        self._process._transport.close()

    # -- what most tests do -------------------------------------------------------------------------------------------

    async def qr(self):
        return (await self.until("qr"))["text"]

    async def code(self, number):
        self.tell(do="code", phone=number)
        return (await self.until("code"))["code"]

    async def word(self, seconds=PATIENCE):
        return (await self.until("status", seconds=seconds))["word"]
