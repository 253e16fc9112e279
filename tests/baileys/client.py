"""Baileys on an auth folder, in a process of its own, beside an emulator."""

import asyncio
import contextlib
import json
import os
import shutil
from pathlib import Path

from tests import npm

HERE = Path(__file__).parent
SECONDS = 40


def installed() -> Path:
    """The folder with Baileys and our driver in it. Skips the test if it cannot be had."""
    folder = npm.installed(HERE / "package-lock.json", "Baileys")
    shutil.copy(HERE / "driver.mjs", folder)
    return folder


class Baileys:
    """One client. `until` reads what it tells, in order; `do` gives it a command."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.told: list[dict] = []

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls, emulator, folder, tag="baileys"):
        """Baileys on the auth folder `folder`, which it makes; its traffic goes to `emulator`."""
        home = installed()
        env = emulator.client_env(tag=tag)
        process = await asyncio.create_subprocess_exec(
            *("node", "driver.mjs", str(folder)),
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
        one = cls(process)
        try:
            yield one
        finally:
            await one.end()

    async def do(self, what, **arguments):
        self._process.stdin.write(f"{json.dumps({'do': what, **arguments})}\n".encode())
        await self._process.stdin.drain()

    async def until(self, step, **wanted):
        """The next line of this step with these values."""
        async with asyncio.timeout(SECONDS):
            async for line in self._process.stdout:
                told = json.loads(line)
                self.told.append(told)
                assert told["step"] != "failed", told
                if told["step"] == step and wanted.items() <= told.items():
                    return told
        raise AssertionError(f"Baileys ended without {step} {wanted}: {self.told[-8:]}")

    async def end(self):
        """Close as a service does that is stopped: nothing is logged out."""
        if self._process.returncode is None:
            with contextlib.suppress(OSError):
                await self.do("end")
                self._process.stdin.close()
            try:
                async with asyncio.timeout(10):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
