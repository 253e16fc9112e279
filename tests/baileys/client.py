"""Baileys on auth folders, in a process beside an emulator."""

import asyncio
import contextlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

from tests import npm

HERE = Path(__file__).parent
SECONDS = 40


def installed() -> Path:
    """The folder with Baileys and our driver in it. Skips the test if it cannot be had."""
    folder = npm.installed(HERE / "package-lock.json", "Baileys")
    new = folder / f"driver-{os.getpid()}.mjs"
    shutil.copy(HERE / "driver.mjs", new)
    new.replace(folder / "driver.mjs")  # at once: another process of the tests may be reading it
    return folder


class Baileys:
    """One client. `until` reads what it tells, in order; `do` gives it a command."""

    def __init__(self, name, process):
        self.name, self._process = name, process
        self.told: list[dict[str, Any]] = []
        self._news: asyncio.Queue = asyncio.Queue()

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls, emulator, folder, tag="baileys"):
        """Baileys on the auth folder `folder`, which it makes; its traffic goes to `emulator`."""
        async with cls.fleet(emulator, [folder], tag) as clients:
            await clients[folder.name].do("connect")
            yield clients[folder.name]

    @classmethod
    @contextlib.asynccontextmanager
    async def fleet(cls, emulator, folders, tag="baileys"):
        """A client for each folder, by the folder's name, all in one process. Each has to be told to `connect`."""
        home = installed()
        env = emulator.client_env(tag=tag)
        process = await asyncio.create_subprocess_exec(
            *("node", "driver.mjs", *map(str, folders)),
            cwd=home,
            env={
                **{name: os.environ[name] for name in ("PATH", "HOME", "WA_TEST_RUN") if name in os.environ},
                "PROXY": env["HTTPS_PROXY"],
                "ROOT": env["WA_EMULATOR_ROOT_KEY"],
                "NODE_EXTRA_CA_CERTS": env["SSL_CERT_FILE"],
            },
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=1 << 22,
        )
        clients = {folder.name: cls(folder.name, process) for folder in folders}
        hearing = asyncio.create_task(_hear(process, clients))
        try:
            yield clients
        finally:
            await _end(process)
            await hearing

    @property
    def pid(self) -> int:
        """Of the process, which its clients share."""
        return self._process.pid

    async def do(self, what: str, **arguments: object) -> None:
        """Give it a command."""
        await _say(self._process, name=self.name, do=what, **arguments)

    async def until(self, step: str, **wanted: object) -> dict[str, Any]:
        """The next line of this step with these values."""
        async with asyncio.timeout(SECONDS):
            while (told := await self._news.get()) is not None:
                self.told.append(told)
                assert told["step"] != "failed", told
                if told["step"] == step and wanted.items() <= told.items():
                    return told
        raise AssertionError(f"Baileys ended without {step} {wanted}: {self.told[-8:]}")


async def _hear(process, clients):
    """Hand each line to the client that it names, or to all; None at the end."""
    async for line in process.stdout:
        told = json.loads(line)
        for client in [clients[told["name"]]] if "name" in told else clients.values():
            client._news.put_nowait(told)
    for client in clients.values():
        client._news.put_nowait(None)


async def _say(process, **command):
    process.stdin.write(f"{json.dumps(command)}\n".encode())
    await process.stdin.drain()


async def _end(process):
    """Close as a service does that is stopped: nothing is logged out."""
    if process.returncode is None:
        with contextlib.suppress(OSError):
            await _say(process, do="end")
            process.stdin.close()
        try:
            async with asyncio.timeout(10):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
