"""`python -m bench.figures`: draws what `make bench` measured, out of bench/results.json, into docs/figures/.

Each figure is drawn from the lines of the rows that its table names. A line that is missing (`--only`) is left out, and
a figure without any line is not drawn.
"""

import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).with_name("results.json")
FOLDER = ROOT / "docs" / "figures"

Results = dict[str, Any]

WIDTH, LABELS, RIGHT = 820, 340, 90
_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#17202a}.soft{fill:#56626e;font-size:11px}.head{font-weight:600;font-size:15px}"
    ".ground{fill:#fff}.ours{fill:#3a56b0;stroke:#3a56b0}.floor{fill:#b9c2cc;stroke:#b9c2cc}.line{fill:none;stroke-width:2}"
    ".mark{stroke:#a8321f;stroke-width:2}.axis{stroke:#d5dae0}"
    "@media(prefers-color-scheme:dark){text{fill:#e6eaee}.soft{fill:#9aa6b2}.ground{fill:#181e25}"
    ".ours{fill:#8fa8f5;stroke:#8fa8f5}.floor{fill:#4a5664;stroke:#4a5664}.mark{stroke:#ff8d78}.axis{stroke:#2d3641}}"
)


@dataclass(frozen=True, slots=True)
class Bars:
    """A figure of bars: which lines of which rows, told as regular expressions."""

    file: str
    title: str
    unit: str
    lines: tuple[tuple[str, str], ...]


FIGURES = (
    Bars(
        "latency.svg",
        "From a click to the QR or code, and from the phone's yes to linked (ms, median)",
        "ms",
        (("B1", r"(QR|code): click to socket"), ("B9", r"(scan|code typed) to linked, [^:]+")),
    ),
    Bars(
        "recovery.svg",
        "A worker is killed, or all is restarted: until the sessions are held again (s)",
        "s",
        (("B7", r".*(held again|online).*"),),
    ),
)


def write(results: Results, folder: Path = FOLDER) -> list[Path]:
    """Draw every figure that the results have lines for; the files written."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {one.file: _bars(one, results) for one in FIGURES} | {"memory.svg": _memory(results)}
    written = []
    for file, svg in drawn.items():
        if svg is not None:
            (folder / file).write_text(svg, encoding="utf-8")
            written.append(folder / file)
    return written


def _lines(results: Results, row: str, pattern: str) -> Iterator[dict[str, Any]]:
    for one in results["rows"]:
        if one["row"] == row:
            yield from (line for line in one["lines"] if re.fullmatch(pattern, line["what"]))


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _source(results: Results) -> str:
    return f"{results['at'][:10]}, commit {results['commit'][:9]}, {results['cores']} cores, Python {results['python']}"


def _document(title: str, height: int, body: Sequence[str], results: Results, note: str) -> str:
    said = f"{note} {_source(results)}."
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">',
        f"<style>{_STYLE}</style>",
        f'<rect class="ground" width="{WIDTH}" height="{height}" rx="8"/>',
        f'<text class="head" x="16" y="26">{escape(title)}</text>',
        *body,
        f'<text class="soft" x="16" y="{height - 12}">{escape(said)}</text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _bars(figure: Bars, results: Results) -> str | None:
    lines = [
        (row, one)
        for row, pattern in figure.lines
        for one in _lines(results, row, pattern)
        if one["unit"] == figure.unit
    ]
    if not lines:
        return None
    numbers = [one[key] for _, one in lines for key in ("value", "floor", "p95", "bar") if one[key] is not None]
    scale = (WIDTH - LABELS - RIGHT) / max(numbers)
    body, y = [], 46
    for row, one in lines:
        body.append(f'<text x="16" y="{y + 15}">{escape(one["what"])} <tspan class="soft">{row}</tspan></text>')
        length = one["value"] * scale
        body.append(f'<rect class="ours" x="{LABELS}" y="{y}" width="{length:.1f}" height="12"/>')
        end = max(length, (one["p95"] or 0) * scale)
        if one["p95"] is not None:
            body.append(
                f'<line class="ours" x1="{LABELS + length:.1f}" x2="{LABELS + end:.1f}" y1="{y + 6}" y2="{y + 6}"/>'
            )
        if one["floor"] is not None:
            body.append(
                f'<rect class="floor" x="{LABELS}" y="{y + 14}" width="{one["floor"] * scale:.1f}" height="8"/>'
            )
        if one["bar"] is not None:
            at = LABELS + one["bar"] * scale
            body.append(f'<line class="mark" x1="{at:.1f}" x2="{at:.1f}" y1="{y - 3}" y2="{y + 25}"/>')
        body.append(f'<text x="{LABELS + end + 6:.1f}" y="{y + 11}">{_number(one["value"])}</text>')
        y += 36
    note = "Blue: the service, with its 95th percentile. Grey: bare neonize. Red: the bar."
    return _document(figure.title, y + 26, body, results, note)


def _memory(results: Results) -> str | None:
    """Memory over sessions: the line through what B3 measured with all sessions, with the slope that it found."""
    whole = next(_lines(results, "B3", r"\d+ sessions: the worker's own memory"), None)
    slope = next(_lines(results, "B3", r"a session more"), None)
    if whole is None or slope is None or whole["floor"] is None or slope["floor"] is None:
        return None
    count, most = int(whole["what"].split()[0]), 600
    kinds = (
        ("ours", "the service", whole["value"], slope["value"]),
        ("floor", "bare neonize", whole["floor"], slope["floor"]),
    )
    ends = [
        (kind, name, value - each * count, value + each * (most - count), value) for kind, name, value, each in kinds
    ]
    left, right, top, bottom = 60, WIDTH - 150, 46, 286
    highest = -(-max(end for _, _, _, end, _ in ends) // 100) * 100

    def place(sessions: float, megabytes: float) -> str:
        x = left + sessions / most * (right - left)
        return f"{x:.1f},{bottom - max(megabytes, 0) / highest * (bottom - top):.1f}"

    body = []
    for step in range(5):
        megabytes = highest * step / 4
        y = place(0, megabytes).split(",")[1]
        body.append(f'<line class="axis" x1="{left}" x2="{right}" y1="{y}" y2="{y}"/>')
        body.append(f'<text class="soft" x="16" y="{float(y) + 4:.1f}">{megabytes:.0f} MB</text>')
        sessions = most * step // 4
        body.append(
            f'<text class="soft" x="{float(place(sessions, 0).split(",")[0]) - 8:.1f}" y="{bottom + 16}">{sessions}</text>'
        )
    for kind, name, start, end, value in ends:
        body.append(f'<polyline class="line {kind}" points="{place(0, start)} {place(most, end)}"/>')
        x, y = place(count, value).split(",")
        body.append(f'<circle class="{kind}" cx="{x}" cy="{y}" r="4"/>')
        x, y = place(most, end).split(",")
        body.append(f'<text x="{float(x) + 8:.1f}" y="{float(y) + 4:.1f}">{name}</text>')
    note = f"Dots: measured with {count} sessions; the lines have the measured slope."
    return _document("Memory over held sessions", bottom + 50, body, results, note)


def main() -> int:
    """The command."""
    for path in write(json.loads(RESULTS.read_text(encoding="utf-8"))):
        sys.stdout.write(f"drew {path.relative_to(ROOT)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
