"""The benchmark: `python -m bench [--only B1,B4] [--quick] [--full]`.

Prints a table, keeps the rows in bench/results.json, and brings docs/measured.md and docs/figures/ up to date; a quick run
keeps nothing. Exit code 1 when a bar is missed, or a row could not be measured. Progress goes to stderr. Every row stands
alone, with processes of its own, which are gone after it; one that fails or hangs does not spoil the others.
"""

import argparse
import asyncio
import contextlib
import json
import sys
import time
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import docs.generate
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
    b13_history,
    b14_crowd,
    b15_outdated,
    b16_page,
    b17_fresh,
    figures,
    machine,
    peers,
)
from bench.result import Line, Row, table
from bench.run import Run

RESULTS = Path(__file__).with_name("results.json")
ROW_SECONDS = 1800.0
"""The longest row takes ten minutes twice. One that hangs is given up."""
QUICK_AT_ONCE = 6
"""Rows of a quick run. Nobody reads its numbers."""

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
    "B13": ("months of history", b13_history.measure),
    "B14": ("10,000 sessions on 67 workers", b14_crowd.measure),
    "B15": ("the version is refused", b15_outdated.measure),
    "B16": ("the page until its QR", b16_page.measure),
    "B17": ("a fresh clone", b17_fresh.measure),
    "BAILEYS": ("the same with Baileys alone", peers.measure),
}


async def _row(name: str, run: Run) -> Row:
    title, measure = ROWS[name]
    run.say(f"{name}: {title}")
    began, error, skipped = time.monotonic(), "", ""
    lines: list[Line] = []
    try:
        async with asyncio.timeout(ROW_SECONDS):
            lines = await measure(run)
    except pytest.skip.Exception as why:  # of the tests' own helpers
        skipped = str(why)
        run.say(f"SKIPPED: {skipped}")
    except Exception as raised:  # noqa: BLE001 - the other rows shall be measured all the same; the table says it
        traceback.print_exception(raised)
        error = f"{type(raised).__name__}: {str(raised)[:200]}".replace("\n", " ")
        await run.forget_fleet()
    return Row(name, title, tuple(lines), time.monotonic() - began, error, skipped)


async def _rows(
    names: list[str], asked: argparse.Namespace, folder: Path, where: dict[str, Any]
) -> list[dict[str, Any]]:
    run = Run(asked.quick, asked.full, folder)
    places = asyncio.Semaphore(QUICK_AT_ONCE if asked.quick else 1)

    async def one(name: str) -> dict[str, Any]:
        # Of rows that are measured side by side each has a fleet of its own: a device is logged in once.
        async with places, run.apart() if asked.quick else contextlib.nullcontext(run) as mine:
            row = {**(await _row(name, mine)).as_json(), "of": where}
        if not asked.quick:
            keep([row])  # at once: a run that is stopped has not measured in vain
        return row

    try:
        order = _longest_first(names) if asked.quick else names
        measured = dict(zip(order, await asyncio.gather(*map(one, order)), strict=True))
        return [measured[name] for name in names]
    finally:
        await run.forget_fleet()


def _longest_first(names: list[str]) -> list[str]:
    """By what they took when they were measured last, so that none runs alone at the end."""
    took = {row["row"]: row["seconds"] for row in json.loads(RESULTS.read_text())["rows"]} if RESULTS.exists() else {}
    return sorted(names, key=lambda name: -took.get(name, 0.0))


def keep(rows: list[dict[str, Any]], file: Path = RESULTS) -> dict[str, Any]:
    """Put rows into the file, beside those that were measured before; all that it holds then."""
    kept = {one["row"]: one for one in json.loads(file.read_text())["rows"]} if file.exists() else {}
    kept |= {one["row"]: one for one in rows}
    results = {"rows": [kept[name] for name in ROWS if name in kept]}
    file.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return results


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(ROWS), metavar="B1,B4", help="these rows")
    parser.add_argument("--quick", action="store_true", help="few rounds, six rows at once: whether it works")
    parser.add_argument(
        "--full",
        action="store_true",
        help="measure 600 sessions instead of extrapolating (B3), and ten minutes instead of one (B12)",
    )
    asked = parser.parse_args()
    names = [name.strip().upper() for name in asked.only.split(",") if name.strip()]
    if unknown := set(names) - set(ROWS):
        parser.error(f"there is no row {', '.join(sorted(unknown))}")
    where = machine.described()
    with machine.clean() as (folder, left):
        rows = asyncio.run(_rows(names, asked, folder, where))
    print(table(rows))
    load = f"{where['loadBefore']:.1f} before"
    print(f"\n{where['at']}, {where['commit'][:9]}, {where['cores']} cores, load {load}, Python {where['python']}")
    if not asked.quick:
        figures.write(keep([]))
        docs.generate.write()
    return 0 if all(row["passed"] for row in rows) and not left else 1


if __name__ == "__main__":
    sys.exit(main())
