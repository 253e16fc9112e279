"""`python -m emulator.demo`: the whole service against the emulator, as one page. No internet, no phone: the page plays it.

Starts the emulator, gives its environment to `python -m app.local`, and stops both together. What is linked here is
kept in .run/demo/, apart from real devices; so is the log.
"""

import argparse
import asyncio
import ctypes
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

from emulator.environment import client_env

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 20
STOP_SECONDS = 5
PORTS = [*range(8100, 8110), 0]
"""Of the page: the first that is free, so that its address is short and stays the same; else any."""
PLATFORM = {"PLATFORM_NAME": "Bookwell", "DEVICE_NAME": "Bookwell"}
"""A made-up platform, if the environment names none."""
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_PR_SET_PDEATHSIG = 1


def _with_us() -> None:
    """In a new process, on Linux: SIGTERM for it when we are gone, however that came about."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


async def _start_emulator(folder: Path) -> tuple[Process, dict[str, str], int] | None:
    """The process, the environment for its clients, and the port of the page; None when it does not start."""
    # A session of its own keeps Ctrl-C from it: the service says goodbye to it first.
    emulator = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "emulator", "--state-dir", str(folder / "emulator")),
        *("--service", str(folder / "running.json"), "--control-port", *map(str, PORTS)),
        cwd=ROOT,
        stdout=PIPE,
        start_new_session=True,
        preexec_fn=_with_us,
    )
    assert emulator.stdout is not None  # noqa: S101 - we asked for a pipe
    try:
        async with asyncio.timeout(START_SECONDS):
            line = await emulator.stdout.readline()
    except TimeoutError:
        line = b""
    if not line:
        await _stop(emulator)
        return None
    ready = json.loads(line)
    env = client_env(
        proxy_port=ready["proxy_port"],
        ca_path=ready["ca_path"],
        root_key=ready["root_key"],
        python_path=os.environ.get("PYTHONPATH", ""),
    )
    return emulator, env, ready["control_port"]


async def _stop(process: Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


async def run(folder: Path) -> int:
    """Both, until a signal or a death; the exit code."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    started = await _start_emulator(folder)
    if started is None:
        sys.stderr.write("The emulator did not start.\n")
        return 1
    emulator, env, port = started
    env["EMBED_ORIGINS"] = f"http://127.0.0.1:{port} http://localhost:{port}"
    log = folder / "demo.log"
    try:
        service = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "app.local", "--folder", str(folder)),
            *("--page", f"http://127.0.0.1:{port}/demo", "--log", str(log)),
            cwd=ROOT,
            env={**PLATFORM, **os.environ, **env},
            start_new_session=True,
            preexec_fn=_with_us,
        )
        return await _until_one_ends(service, emulator, stop)
    finally:
        await _stop(emulator)


async def _until_one_ends(service: Process, emulator: Process, stop: asyncio.Event) -> int:
    waits = [asyncio.create_task(one) for one in (service.wait(), emulator.wait(), stop.wait())]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        if service.returncode is None:
            service.terminate()  # it stops its own within its own time
        code = await service.wait()
        for one in waits:
            one.cancel()
    if emulator.returncode is not None:
        sys.stderr.write(f"The emulator ended with exit code {emulator.returncode}, so everything was stopped.\n")
        return 1
    return code


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=ROOT / ".run" / "demo", help="keeps what is linked (.run/demo)")
    folder = parser.parse_args().folder.resolve()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return asyncio.run(run(folder))


if __name__ == "__main__":
    sys.exit(main())
