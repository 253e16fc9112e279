"""The ten commands of docs/integrate.md lead from zero to an answered message, run as they stand on the page."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from app.local.redis import free_port
from tests.tooling.documented import ROOT, blocks

PAGE = ROOT / "docs" / "integrate.md"
SECONDS = 150


def commands() -> list[str]:
    return [block.text for block in blocks(PAGE) if block.language == "sh"]


@pytest.mark.timeout(SECONDS + 60)
def test_ten_commands_lead_to_an_answered_message(tmp_path: Path) -> None:
    assert len(commands()) == 10
    # `make demo` without its environment, which the tests have; and ports that nobody else uses.
    demo = f"make() {{ cd {ROOT} && exec {sys.executable} -m emulator.demo --folder={tmp_path}/.run/demo; }}\n"
    script = "set -eu -o pipefail\n" + demo + "\n".join(commands())
    ports = {"8000": free_port(), "9000": free_port()}
    for said, port in ports.items():
        assert said in script
        script = script.replace(said, str(port))
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "WA_TEST_RUN") if name in os.environ}
    process = subprocess.Popen(
        ["bash", "-c", script],
        cwd=tmp_path,
        env={**kept, "PORT": str(ports["8000"]), "NO_PROXY": "127.0.0.1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    # What the script leaves in the background is the reader's to stop, by Ctrl-C; here it is ours.
    family: list[psutil.Process] = []
    try:
        lines = []
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if line.startswith("message.received"):
                break
        family = [one for one in psutil.process_iter() if _is_of(one, process.pid)]
        assert lines[-1] == "message.received Yes, I will.\n", "".join(lines) + (tmp_path / "demo.log").read_text()
        url, state, outcome, *ids = (line.strip() for line in lines[:-1])
        assert "/link#" in url
        assert (state, outcome, len(ids)) == ("queued", "confirmed", 2)
        until = time.monotonic() + 20  # an answer may be told before the text's own end
        while not {"message.sent", "message.received"} <= set(told := told_in(tmp_path / "server.log")):
            assert time.monotonic() < until, told
            time.sleep(0.05)
        assert told[0] == "session.linked"
    finally:
        _stop(process, family)
    assert not (tmp_path / ".run/demo/running.json").exists()


def told_in(log: Path) -> list[str]:
    """The kinds of the events in the log of the reader's server."""
    return [line.split()[0] for line in log.read_text().splitlines() if line.strip()]


def _is_of(one: psutil.Process, session: int) -> bool:
    try:
        return os.getsid(one.pid) == session
    except (OSError, psutil.Error):
        return False


def _stop(process: subprocess.Popen[str], family: list[psutil.Process]) -> None:
    """Ends what a reader would end by Ctrl-C."""
    for one in family or [psutil.Process(process.pid)]:
        with contextlib.suppress(psutil.Error):
            one.send_signal(signal.SIGTERM)
    _, stayed = psutil.wait_procs(family, timeout=30)
    for one in stayed:
        one.kill()
    process.wait(30)
    assert process.stdout is not None
    process.stdout.close()
    assert stayed == []
