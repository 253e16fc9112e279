"""A fresh clone with a clean home, no environment, and nothing of this machine's but `make`, `python3` and what every Unix
has; and its demo, started. It installs from the package registry."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
#: What every Unix has, beside python3 and make. No Redis, no git, no Node, no compiler.
UNIX = (
    *("sh", "awk", "cat", "chmod", "cksum", "cp", "cut", "date", "dirname", "du", "env", "grep", "head", "ln", "ls"),
    *("mkdir", "mktemp", "mv", "readlink", "rm", "sed", "sort", "tail", "tr", "uname", "wc"),
)


@dataclass(frozen=True, slots=True)
class Fresh:
    """How to start the demo, and where the clone is."""

    command: Sequence[str]
    clone: Path
    environment: dict[str, str]


@dataclass(frozen=True, slots=True)
class Ready:
    """A demo that has printed its link: that line, all it said, when it was started by the monotonic clock, and how many
    seconds it took."""

    link: str
    said: str
    process: "subprocess.Popen[str]"
    began: float
    seconds: float


def copy_files(folder: Path) -> None:
    """The files of the repository, as a clone has them."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


def is_of_the_machine(name: str) -> bool:
    """How this machine reaches the registry is the machine's: where its proxy is, and whom it trusts."""
    return name.startswith(("PIP_", "UV_", "SSL_", "TMPDIR", "WA_TEST")) or name.lower().endswith("_proxy")


def here(folder: Path) -> Fresh:
    """On this machine, with a PATH that has nothing else on it."""
    copy_files(folder / "clone")
    (folder / "bin").mkdir()
    for tool in (*UNIX, "make"):
        found = shutil.which(tool)
        assert found, tool
        (folder / "bin" / tool).symlink_to(found)
    (folder / "bin" / "python3").symlink_to(sys._base_executable)  # type: ignore[attr-defined] # behind our own environment
    (folder / "home").mkdir()
    kept = {name: value for name, value in os.environ.items() if is_of_the_machine(name)}
    environment = {**kept, "PATH": str(folder / "bin"), "HOME": str(folder / "home")}
    return Fresh(["make", "demo"], folder / "clone", environment)


@contextmanager
def demo(fresh: Fresh) -> Iterator[Ready]:
    """Its demo, ready; gone with the block."""
    began, said = time.monotonic(), ""
    process = subprocess.Popen(
        fresh.command,
        cwd=fresh.clone,
        env=fresh.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            said += line
            if "/demo" in line and "http://" in line:
                yield Ready(line, said, process, began, time.monotonic() - began)
                break
        else:
            raise AssertionError(said)
    finally:
        if process.poll() is None:
            for one in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
                with suppress(psutil.NoSuchProcess):  # it went with its parent
                    one.terminate()
        process.wait(40)
        process.stdout.close()


def installed_mb(fresh: Fresh) -> float:
    """The size of what was installed."""
    return sum(path.lstat().st_size for path in (fresh.clone / ".venv").rglob("*")) / 1e6
