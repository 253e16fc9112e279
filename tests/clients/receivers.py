"""The receivers of docs/webhooks.md, run as they stand there."""

import contextlib
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from app.local.redis import free_port
from tests import npm

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "tests" / "clients" / "package-lock.json"
LANGUAGES = ("python", "javascript")


@contextlib.contextmanager
def documented(language: str, folder: Path, secrets: str) -> Iterator[tuple[str, Path]]:
    """The URL of one that runs, and its output. Fails if it does not outlive the block. Skips the test where `javascript`
    cannot run."""
    page = (ROOT / "docs" / "webhooks.md").read_text()
    (snippet,) = re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)
    port, said = free_port(), folder / f"{language}-said"
    if language == "python":
        program, interpreter = folder / "receiver.py", sys.executable
    else:
        home = npm.installed(LOCK, "an integrator's JavaScript")
        program, interpreter = home / f"receiver-{os.getpid()}-{port}.mjs", "node"
    program.write_text(snippet)
    env = {**os.environ, "PORT": str(port), "WEBHOOK_SECRET": secrets}
    with said.open("wb") as out:
        process = subprocess.Popen([interpreter, str(program)], env=env, stdout=out, stderr=subprocess.STDOUT)
    try:
        until = time.monotonic() + 30
        while time.monotonic() < until:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert process.poll() is None, said.read_text()
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/", said
        assert process.poll() is None, "it lives"
    finally:
        process.terminate()
        process.wait(10)
        program.unlink()
