"""`python -m bench.figures`: draws bench/results.json and bench/growth.json into docs/figures/.

Each figure is drawn from what its table names. A line that was not measured is left out, and a figure without any line is
not drawn.
"""

import json
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.drawing import Bar, Curve, bars, curves

ROOT = Path(__file__).resolve().parents[1]
RESULTS, GROWTH = Path(__file__).with_name("results.json"), Path(__file__).with_name("growth.json")
FOLDER = ROOT / "docs" / "figures"
MOST_SESSIONS = 600
MEMORY = "Memory over held sessions"

Results = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of bars: which lines of which rows, told as regular expressions."""

    file: str
    title: str
    unit: str
    lines: tuple[tuple[str, str], ...]
    needs: str = ""
    """A row without which it says nothing."""


FIGURES = (
    Figure(
        "latency.svg",
        "From a click to the QR or code, and from the phone's yes to linked (ms, median)",
        "ms",
        (("B1", r"(QR|code): click to socket"), ("B9", r"(scan|code typed) to linked, [^:]+")),
    ),
    Figure(
        "recovery.svg",
        "A worker is killed, or all is restarted: until the sessions are held again (s)",
        "s",
        (("B7", r".*(held again|online).*"),),
    ),
    Figure(
        "peers.svg",
        "Beside Baileys alone, which has no page, no queue and no second worker (ms, median)",
        "ms",
        (
            ("B1", r"QR: click to socket"),
            ("BAILEYS", r"QR: connect to QR"),
            ("B10", r"\d+ clicks at once, the last QR"),
            ("BAILEYS", r"\d+ at once, the last QR"),
            ("B9", r"scan to linked, SQLite"),
            ("BAILEYS", r"scan to open"),
        ),
        "BAILEYS",
    ),
)


def write(results: Results, folder: Path = FOLDER) -> list[Path]:
    """Draw every figure that the results have lines for; the files written."""
    return _written(_drawn(results), folder)


def names(rows: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """File and title of each figure that there is of these rows."""
    known = [(one.file, one.title) for one in FIGURES] + [("memory.svg", MEMORY)]
    drawn = _drawn({"rows": rows})
    return [(file, title) for file, title in known if drawn[file]]


def draw_growth(growth: dict[str, Any], folder: Path = FOLDER) -> list[Path]:
    """Draw how cost grows; the files written."""
    drawn: dict[str, str | None] = {}
    if part := growth.get("workers"):
        points = [(one["workers"], one["per_minute"]) for one in part if one["places"] == 5]
        first, most = points[0], points[-1][0]
        ideal = Curve("floor", "linear", [(0, 0), (most, first[1] / first[0] * most)], [])
        ours = Curve("ours", "measured", points, points)
        note = f"Five places a worker, two seconds at the phone; engines pretend. {source(one['of'] for one in part)}."
        drawn["growth-workers.svg"] = curves("Linkings a minute over workers", "/min", [ideal, ours], note)
    if part := growth.get("sessions"):
        points = [(one["sessions"], one["worker_mb"]) for one in part]
        note = f"All of the worker's processes, own memory; idle sessions. {source(one['of'] for one in part)}."
        drawn["growth-sessions.svg"] = curves(
            "Memory of a worker over held sessions", "MB", [Curve("ours", "measured", points, points)], note
        )
    if part := growth.get("fleet"):
        points = [(one["sessions"], one["redis_processor"] * 100) for one in part]
        note = f"150 sessions a worker, nothing happens; engines pretend. {source(one['of'] for one in part)}."
        drawn["growth-fleet.svg"] = curves(
            "Redis' share of a core over sessions, at rest",
            "%",
            [Curve("ours", "measured", points, points)],
            note,
            log=True,
        )
    return _written(drawn, folder)


def source(places: Iterable[dict[str, Any]]) -> str:
    """The machine and the code of a measurement."""
    said = {f"{of['at'][:10]}, commit {of['commit'][:9]}, {of['cores']} cores, Python {of['python']}" for of in places}
    return "; ".join(sorted(said))


def _drawn(results: Results) -> dict[str, str | None]:
    return {one.file: _bars(one, results) for one in FIGURES} | {"memory.svg": _memory(results)}


def _written(drawn: dict[str, str | None], folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for file, svg in drawn.items():
        if svg is not None:
            (folder / file).write_text(svg, encoding="utf-8")
            written.append(folder / file)
    return written


def _lines(results: Results, row: str, pattern: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for one in results["rows"]:
        if one["row"] == row:
            yield from ((one["of"], line) for line in one["lines"] if re.fullmatch(pattern, line["what"]))


def _bars(figure: Figure, results: Results) -> str | None:
    found = [
        (row, of, line)
        for row, pattern in figure.lines
        for of, line in _lines(results, row, pattern)
        if line["unit"] == figure.unit
    ]
    if not found or (figure.needs and figure.needs not in {row for row, _, _ in found}):
        return None
    note = "Blue: measured, with its 95th percentile. Grey: bare neonize. Red: the bar. "
    rows = [
        Bar(line["what"], row.capitalize(), *(line[key] for key in ("value", "p95", "floor", "bar")))
        for row, _, line in found
    ]
    return bars(figure.title, rows, note + source(of for _, of, _ in found) + ".")


def _memory(results: Results) -> str | None:
    """Memory over sessions: the line through what B3 measured with all sessions, with the slope that it found."""
    of, whole = next(_lines(results, "B3", r"\d+ sessions: the worker's own memory"), ({}, None))
    _, slope = next(_lines(results, "B3", r"a session more"), ({}, None))
    if whole is None or slope is None or whole["floor"] is None or slope["floor"] is None:
        return None
    count = int(whole["what"].split()[0])
    lines = []
    for kind, name, key in (("floor", "bare neonize", "floor"), ("ours", "the service", "value")):
        value, each = whole[key], slope[key]
        ends = [(0.0, value - each * count), (MOST_SESSIONS, value + each * (MOST_SESSIONS - count))]
        lines.append(Curve(kind, name, ends, [(count, value)]))
    note = f"Dots: measured with {count} sessions; the lines have the measured slope. {source([of])}."
    return curves(MEMORY, "MB", lines, note)


def main() -> int:
    """The command."""
    for file, draw in ((RESULTS, write), (GROWTH, draw_growth)):
        if file.exists():
            for path in draw(json.loads(file.read_text(encoding="utf-8"))):
                sys.stdout.write(f"drew {path.relative_to(ROOT)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
