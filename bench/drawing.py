"""Figures in SVG, light and dark: bars, and curves over a number."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from bench.result import number

WIDTH, LABELS, RIGHT = 820, 400, 70
_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#17202a}.soft{fill:#56626e;font-size:11px}.head{font-weight:600;font-size:15px}"
    ".ground{fill:#fff}.ours{fill:#3a56b0;stroke:#3a56b0}.floor{fill:#b9c2cc;stroke:#b9c2cc}"
    ".ours.line,.floor.line{fill:none;stroke-width:2}"
    ".mark{stroke:#a8321f;stroke-width:2}.axis{stroke:#d5dae0}"
    "@media(prefers-color-scheme:dark){text{fill:#e6eaee}.soft{fill:#9aa6b2}.ground{fill:#181e25}"
    ".ours{fill:#8fa8f5;stroke:#8fa8f5}.floor{fill:#4a5664;stroke:#4a5664}.mark{stroke:#ff8d78}.axis{stroke:#2d3641}}"
)


@dataclass(frozen=True, slots=True)
class Bar:
    """One value, by its name and what stands softly behind that; with its 95th percentile, its floor and its bar."""

    name: str
    soft: str
    value: float
    p95: float | None = None
    floor: float | None = None
    bar: float | None = None


@dataclass(frozen=True, slots=True)
class Curve:
    """A line through points, and the points that were measured. `kind` is `ours` or `floor`."""

    kind: str
    name: str
    points: Sequence[tuple[float, float]]
    dots: Sequence[tuple[float, float]]


def bars(title: str, rows: Sequence[Bar], note: str) -> str:
    """Bars below each other."""
    most = max(one for row in rows for one in (row.value, row.p95, row.floor, row.bar) if one is not None)
    scale = (WIDTH - LABELS - RIGHT) / (most or 1)
    body, y = [], 46
    for row in rows:
        body.append(
            f'<text x="16" y="{y + 15}">{escape(row.name)} <tspan class="soft">{escape(row.soft)}</tspan></text>'
        )
        length = row.value * scale
        body.append(f'<rect class="ours" x="{LABELS}" y="{y}" width="{length:.1f}" height="12"/>')
        end = max(length, (row.p95 or 0) * scale)
        if row.p95 is not None:
            at = f'x1="{LABELS + length:.1f}" x2="{LABELS + end:.1f}"'
            body.append(f'<line class="ours" {at} y1="{y + 6}" y2="{y + 6}"/>')
        if row.floor is not None:
            length = row.floor * scale
            body.append(f'<rect class="floor" x="{LABELS}" y="{y + 14}" width="{length:.1f}" height="8"/>')
        if row.bar is not None:
            at = f"{LABELS + row.bar * scale:.1f}"
            body.append(f'<line class="mark" x1="{at}" x2="{at}" y1="{y - 3}" y2="{y + 25}"/>')
        body.append(f'<text x="{LABELS + end + 6:.1f}" y="{y + 11}">{number(row.value)}</text>')
        y += 36
    return _document(title, y + 26, body, note)


def curves(title: str, unit: str, lines: Sequence[Curve], note: str, *, log: bool = False) -> str:
    """Lines over a number, which begins at 0, or at its least if it goes by factors (`log`)."""
    left, right, top, bottom = 70, WIDTH - 150, 46, 286
    spots = [spot for line in lines for spot in (*line.points, *line.dots)]
    high = _round(max(y for _, y in spots))
    first, last = (min(x for x, _ in spots) if log else 0.0), max(x for x, _ in spots)

    def place(spot: tuple[float, float]) -> tuple[float, float]:
        x, y = spot
        share = math.log(x / first) / math.log(last / first) if log else (x - first) / (last - first)
        return left + share * (right - left), bottom - max(y, 0) / high * (bottom - top)

    body = []
    for step in range(5):
        y = bottom - step / 4 * (bottom - top)
        body.append(f'<line class="axis" x1="{left}" x2="{right}" y1="{y}" y2="{y}"/>')
        said = f"{high * step / 4:g} {unit}"
        body.append(f'<text class="soft" x="16" y="{y + 4}">{escape(said)}</text>')
    marks = sorted({x for line in lines for x, _ in line.dots}) if log else [last * step / 4 for step in range(5)]
    under = [(place((mark, 0))[0] - 8, f"{mark:,.0f}") for mark in marks]
    body += [f'<text class="soft" x="{x:.1f}" y="{bottom + 16}">{mark}</text>' for x, mark in under]
    named: list[float] = []
    for line in lines:
        way = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(place, line.points))
        body.append(f'<polyline class="line {line.kind}" points="{way}"/>')
        body += [f'<circle class="{line.kind}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>' for x, y in map(place, line.dots)]
        x, y = place(line.points[-1])
        free = (at for at in (y, y - 16, y + 16) if all(abs(at - other) >= 14 for other in named))
        named.append(next(free, y))
        body.append(f'<text x="{x + 8:.1f}" y="{named[-1] + 4:.1f}">{escape(line.name)}</text>')
    return _document(title, bottom + 50, body, note)


def _round(value: float) -> float:
    """The next number above that divides well by four."""
    power = 10.0 ** math.floor(math.log10(value)) if value > 0 else 1.0
    return next(step * power for step in (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10) if step * power >= value)


def _document(title: str, height: int, body: Sequence[str], note: str) -> str:
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">',
        f"<style>{_STYLE}</style>",
        f'<rect class="ground" width="{WIDTH}" height="{height}" rx="8"/>',
        f'<text class="head" x="16" y="26">{escape(title)}</text>',
        *body,
        f'<text class="soft" x="16" y="{height - 12}">{escape(note)}</text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"
