"""What a row of the benchmark says: quantities, each with its bar and, where there is one, the floor under it."""

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
        """Whether the bar is met; None without one."""
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
    """One of B1 to B9."""

    name: str
    title: str
    lines: tuple[Line, ...]
    seconds: float
    error: str = ""

    @property
    def passed(self) -> bool:
        """Whether it was measured and every bar is met."""
        return not self.error and all(line.passed is not False for line in self.lines)

    def as_json(self) -> dict[str, Any]:
        """For results.json."""
        lines = [line.as_json() for line in self.lines]
        head = {"row": self.name, "title": self.title, "passed": self.passed, "seconds": round(self.seconds, 1)}
        return {**head, "error": self.error, "lines": lines}


def median(values: Sequence[float]) -> float:
    """The middle one."""
    return statistics.median(values)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


HEAD = ("row", "what", "measured", "p95", "floor", "bar", "x bar", "")


def table(rows: Sequence[Row]) -> str:
    """As Markdown, which is readable at a terminal as well."""
    cells = [HEAD]
    for row in rows:
        if row.error:
            cells.append((row.name, row.title, row.error, "", "", "", "", "ERROR"))
        for line in row.lines:
            verdict = {True: "ok", False: "MISSED", None: ""}[line.passed]
            bar = "" if line.bar is None else f"{'≥' if line.at_least else '≤'} {_number(line.bar)}"
            ratio = "" if line.ratio is None else f"{line.ratio:.2f}"
            value = f"{_number(line.value)} {line.unit}".strip()
            what = line.what + (f" ({line.note})" if line.note else "")
            cells.append((row.name, what, value, _number(line.p95), _number(line.floor), bar, ratio, verdict))
    widths = [max(len(row[column]) for row in cells) for column in range(len(HEAD))]
    lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |" for row in cells]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
