"""The first two minutes of a stranger: a fresh clone, a clean home, no environment, `make` and `python3` and no Redis: one
command, one link, a few clicks, linked. It installs from the package registry, so `make chaos` runs it."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.tooling.launched import command_line
from tests.tooling.stranger import address, arriving

ROOT = Path(__file__).resolve().parents[2]
READY_SECONDS, LINKED_SECONDS, MOST_MB = 30, 60, 250
#: What every Unix has, beside python3 and make. No Redis, no git, no Node, no compiler.
UNIX = (
    *("sh", "awk", "cat", "chmod", "cksum", "cp", "cut", "date", "dirname", "du", "env", "grep", "head", "ln", "ls"),
    *("mkdir", "mktemp", "mv", "readlink", "rm", "sed", "sort", "tail", "tr", "uname", "wc"),
)


@pytest.fixture
def clone(tmp_path):
    """The files of the repository, as a clone has them, and a PATH with nothing else."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (tmp_path / "clone" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tmp_path / "clone" / name)
    (tmp_path / "bin").mkdir()
    for tool in UNIX:
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool))
    (tmp_path / "bin" / "make").symlink_to(shutil.which("make"))
    (tmp_path / "bin" / "python3").symlink_to(sys._base_executable)  # type: ignore[attr-defined] # the one behind our own environment
    (tmp_path / "home").mkdir()
    return tmp_path / "clone"


@pytest.mark.browser
@pytest.mark.skipif("FRESH" not in os.environ, reason="make chaos runs it: it installs 200 MB from the registry")
def test_a_fresh_clone_is_linked_within_a_minute_by_clicks_in_one_page(clone, chromium_executable):
    # How this machine reaches the registry is the machine's: where its proxy is, and whom it trusts.
    kept = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(("PIP_", "UV_", "SSL_", "TMPDIR", "WA_TEST")) or name.lower().endswith("_proxy")
    }
    environment = {**kept, "PATH": str(clone.parent / "bin"), "HOME": str(clone.parent / "home")}
    began = time.monotonic()
    process = subprocess.Popen(
        ["make", "demo"], cwd=clone, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    said = ""
    try:
        for line in process.stdout:
            said += line
            if "/demo" in line and "http://" in line:
                break
        else:
            raise AssertionError(said)
        ready = time.monotonic() - began
        with arriving(address(line), chromium_executable) as stranger:
            stranger.press("Scan it")
            stranger.sees("linked")
            linked = time.monotonic() - began
        size = sum(path.lstat().st_size for path in (clone / ".venv").rglob("*")) / 1e6
        print(f"\n{said}\nready after {ready:.1f} s, linked after {linked:.1f} s, .venv {size:.0f} MB")
        assert said.splitlines()[0].startswith("Making .venv"), "the first line comes at once"
        family = psutil.Process(process.pid).children(recursive=True)
        assert any("redis-server" in command_line(one) for one in family), "the bundled one"
        assert (clone / ".venv" / "bin" / "redis-server").exists()
        assert ready <= READY_SECONDS
        assert linked <= LINKED_SECONDS
        assert size <= MOST_MB
    finally:
        process.terminate()
        for child in psutil.Process(process.pid).children(recursive=True):
            child.terminate()
        process.wait(40)
        process.stdout.close()
