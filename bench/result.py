"""A row of the benchmark: quantities, each with its bar and, where there is one, the floor under it."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Line:
    """One quantity. Without a `bar` it is told, and held against nothing. `floor` is what the same costs without us,
    measured in the same run; `samples` is how many values the median was taken of."""

    what: str
    value: float
    unit: str
    bar: float | None = None
    at_least: bool = False
    floor: float | None = None
    p95: float | None = None
    samples: int = 1
    note: str = ""

    @property
    def passed(self) -> bool | None:
        """True if the bar is met; None without one."""
        if self.bar is None:
            return None
        return self.value >= self.bar if self.at_least else self.value <= self.bar

    @property
    def ratio(self) -> float | None:
        """The value over the bar: below 1 is good, unless the bar is to be reached from below."""
        return self.value / self.bar if self.bar else None

    def as_json(self) -> dict[str, Any]:
        """For results.json."""
        return {**asdict(self), "passed": self.passed, "ratio": self.ratio}


@dataclass(frozen=True, slots=True)
class Row:
    """One of B1 to B17, or a peer. `skipped` says why it could not be measured on this machine."""

    name: str
    title: str
    lines: tuple[Line, ...]
    seconds: float
    error: str = ""
    skipped: str = ""

    @property
    def passed(self) -> bool:
        """True if it was measured and every bar is met."""
        return not self.error and all(line.passed is not False for line in self.lines)

    def as_json(self) -> dict[str, Any]:
        """For results.json."""
        lines = [line.as_json() for line in self.lines]
        head = {"row": self.name, "title": self.title, "passed": self.passed, "seconds": round(self.seconds, 1)}
        return {**head, "error": self.error, "skipped": self.skipped, "lines": lines}


def median(values: Sequence[float]) -> float:
    """The middle one."""
    return statistics.median(values)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


HEAD = ("row", "what", "measured", "p95", "floor", "bar", "x bar", "")


def cells(rows: Sequence[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Rows as results.json has them, as those of a table under `HEAD`."""
    found: list[tuple[str, ...]] = []
    for row in rows:
        for why, verdict in ((row["error"], "ERROR"), (row["skipped"], "SKIPPED")):
            if why:
                found.append((row["row"], row["title"], why, "", "", "", "", verdict))
        found += [(row["row"], *_cells(line)) for line in row["lines"]]
    return found


def table(rows: Sequence[dict[str, Any]]) -> str:
    """For a terminal."""
    all_cells = [HEAD, *cells(rows)]
    widths = [max(len(row[column]) for row in all_cells) for column in range(len(HEAD))]
    lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |" for row in all_cells]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def _cells(line: dict[str, Any]) -> tuple[str, ...]:
    verdict = {True: "ok", False: "MISSED", None: ""}[line["passed"]]
    bar = "" if line["bar"] is None else f"{'≥' if line['at_least'] else '≤'} {number(line['bar'])}"
    ratio = "" if line["ratio"] is None else f"{line['ratio']:.2f}"
    what = line["what"] + (f" ({line['note']})" if line["note"] else "")
    value = f"{number(line['value'])} {line['unit']}".strip()
    return what, value, number(line["p95"]), number(line["floor"]), bar, ratio, verdict


def number(value: float | None) -> str:
    """Three digits, or all before the point."""
    if value is None:
        return ""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
