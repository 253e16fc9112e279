"""Baileys on an auth folder, in a process of its own, beside an emulator."""

import asyncio
import contextlib
import functools
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

HERE = Path(__file__).parent
INSTALL_SECONDS = 240
SECONDS = 40


@functools.cache
def installed() -> Path:
    """The folder with Baileys in it, made once for each lock. Skips the test where there is no Node or no registry."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("NO NODE on this machine: Baileys cannot run")
    digest = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "whatsapp-onboarding-tests")
    folder = cache / f"baileys-{digest}"
    if not (folder / "node_modules").exists():
        cache.mkdir(parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(prefix=".baileys-", dir=cache))
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, new)
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
        try:
            subprocess.run(command, cwd=new, check=True, timeout=INSTALL_SECONDS, capture_output=True)
        except subprocess.SubprocessError:
            shutil.rmtree(new, ignore_errors=True)
            pytest.skip("NO BAILEYS: npm could not install it")
        with contextlib.suppress(OSError):  # another process was first
            new.rename(folder)
        shutil.rmtree(new, ignore_errors=True)
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
