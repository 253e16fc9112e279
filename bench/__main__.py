"""The benchmark: `python -m bench [--only B1,B4] [--quick] [--full]`.

Prints a table, writes bench/results.json and draws docs/figures/. Exit code 1 when a bar is missed, or a row could not be measured. Progress
goes to stderr. Every row stands alone, with processes of its own, which are gone after it.
"""

import argparse
import asyncio
import datetime
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from bench import (
    b1_click,
    b2_sockets,
    b3_memory,
    b4_attempts,
    b5_idle,
    b6_commands,
    b7_killed,
    b8_workers,
    b9_linked,
    b10_burst,
    b11_texts,
    b12_inbound,
    figures,
)
from bench.result import Line, Row, table
from bench.run import Run
from tests.leaks import Leaks

RESULTS = Path(__file__).with_name("results.json")

Measure = Callable[[Run], Awaitable[list[Line]]]

ROWS: dict[str, tuple[str, Measure]] = {
    "B1": ("click to QR or code", b1_click.measure),
    "B2": ("5,000 sockets on one web process", b2_sockets.measure),
    "B3": ("memory of held sessions", b3_memory.measure),
    "B4": ("memory of waiting attempts", b4_attempts.measure),
    "B5": ("Redis commands at rest", b5_idle.measure),
    "B6": ("Redis commands of an onboarding", b6_commands.measure),
    "B7": ("a worker is killed", b7_killed.measure),
    "B8": ("more workers", b8_workers.measure),
    "B9": ("scan or code to linked", b9_linked.measure),
    "B10": ("ten clicks at once", b10_burst.measure),
    "B11": ("texts through one session", b11_texts.measure),
    "B12": ("what comes in", b12_inbound.measure),
}


async def _row(name: str, run: Run) -> Row:
    title, measure = ROWS[name]
    run.say(f"{name}: {title}")
    began, error = time.monotonic(), ""
    lines: list[Line] = []
    try:
        lines = await measure(run)
    except Exception as raised:  # noqa: BLE001 - the other rows shall be measured all the same; the table says it
        traceback.print_exception(raised)
        error = f"{type(raised).__name__}: {str(raised)[:200]}".replace("\n", " ")
    return Row(name, title, tuple(lines), time.monotonic() - began, error)


async def _rows(names: list[str], asked: argparse.Namespace, folder: Path) -> list[Row]:
    async with AsyncExitStack() as stack:
        run = Run(asked.quick, asked.full, folder, stack)
        return [await _row(name, run) for name in names]


def machine() -> dict[str, Any]:
    """Where and of what it was measured."""
    git = ["git", "-C", str(RESULTS.parent)]
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
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(ROWS), metavar="B1,B4", help="these rows")
    parser.add_argument("--quick", action="store_true", help="few rounds: whether it works, not how good it is")
    parser.add_argument("--full", action="store_true", help="measure 600 sessions instead of extrapolating")
    asked = parser.parse_args()
    names = [name.strip().upper() for name in asked.only.split(",") if name.strip()]
    if unknown := set(names) - set(ROWS):
        parser.error(f"there is no row {', '.join(sorted(unknown))}")
    folder = Path(tempfile.mkdtemp(prefix="wa-bench-"))
    folder.chmod(0o711)  # PostgreSQL, which refuses to run as root, has a folder of its own in here
    os.environ["TMPDIR"] = str(folder)
    tempfile.tempdir = None
    where, leaks = machine(), Leaks.watch()
    # Also when it is told to stop, also from the background, where a shell has SIGINT ignored: clean up first.
    for one in (signal.SIGTERM, signal.SIGINT):
        signal.signal(one, signal.default_int_handler)
    try:
        rows = asyncio.run(_rows(names, asked, folder))
    finally:
        left = [line for line in leaks.found(folder) if not line.startswith("temporary file")]
        shutil.rmtree(folder, ignore_errors=True)
    for line in left:
        sys.stderr.write(f"left behind, and killed: {line}\n")
    print(table(rows))
    load = f"{where['loadBefore']:.1f} before"
    print(f"\n{where['at']}, {where['commit'][:9]}, {where['cores']} cores, load {load}, Python {where['python']}")
    how = {"quick": asked.quick, "full": asked.full}
    results = {**where, **how, "rows": [row.as_json() for row in rows]}
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    if not asked.quick:
        figures.write(results)
    return 0 if all(row.passed for row in rows) and not left else 1


if __name__ == "__main__":
    sys.exit(main())
