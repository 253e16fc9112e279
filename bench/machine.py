"""The machine of a measurement, and a place on it that is clean again afterwards."""

import contextlib
import datetime
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.leaks import Leaks

HERE = Path(__file__).parent


def described() -> dict[str, Any]:
    """The machine and the code that are measured."""
    git = ["git", "-C", str(HERE)]
    commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    changed = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=False).stdout
    models = [line for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if "model name" in line]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": commit,
        "changed": bool(changed),
        "processor": models[0].partition(":")[2].strip() if models else platform.processor(),
        "cores": os.cpu_count(),
        "loadBefore": round(os.getloadavg()[0], 2),
        "memoryMB": memory // 2**20,
        "python": platform.python_version(),
    }


def _compiled() -> None:
    """Have Python keep what it compiles, as every host does, and make does: some machines forbid it. Then each process compiles
    all that it imports: 0.6 s of processor, and 2 to 3 MB that it never gives back. What is started first is not measured."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    for program in ("import app.main", "import workers.main", "import workers.engine.child.preload as p; p.preload()"):
        subprocess.run([sys.executable, "-c", program], cwd=HERE.parent, check=True)


@contextlib.contextmanager
def clean() -> Iterator[tuple[Path, list[str]]]:
    """A folder for everything, gone with the block; processes that are left then are killed, and added to the list."""
    _compiled()
    folder, left = Path(tempfile.mkdtemp(prefix="wa-bench-")), list[str]()
    folder.chmod(0o711)  # PostgreSQL, which refuses to run as root, has a folder of its own in here
    os.environ["TMPDIR"] = str(folder)
    tempfile.tempdir = None
    leaks = Leaks.watch()
    # Also when it is told to stop, also from the background, where a shell has SIGINT ignored: clean up first.
    for one in (signal.SIGTERM, signal.SIGINT):
        signal.signal(one, signal.default_int_handler)
    try:
        yield folder, left
    finally:
        left += [line for line in leaks.found(folder) if not line.startswith("temporary file")]
        shutil.rmtree(folder, ignore_errors=True)
        for line in left:
            sys.stderr.write(f"left behind, and killed: {line}\n")
