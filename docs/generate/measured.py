"""docs/measured.md: what `make bench` kept in bench/results.json, as it stands there."""

import json
from typing import Any

from bench import figures
from bench.result import HEAD, cells
from docs.generate.markdown import document, generated_from, table

Rows = list[dict[str, Any]]


def page() -> str:
    """The figures, the table, and where they are from."""
    rows: Rows = json.loads(figures.RESULTS.read_text(encoding="utf-8"))["rows"] if figures.RESULTS.exists() else []
    return document(
        "# What was measured",
        generated_from("bench/results.json"),
        "What `make bench` measured last; [benchmark.md](benchmark.md) says how. *Floor* is the same without us, in the same run; "
        "*x bar* is the value over the bar. `python -m bench --only B1` measures a row anew.",
        _summary(rows) if rows else "Nothing is kept yet.",
        *(f"![{title}](figures/{file})" for file, title in figures.names(rows)),
        table(HEAD, cells(rows)),
        "\n".join(_whence(rows)),
    )


def _summary(rows: Rows) -> str:
    bars = [(row["row"], line) for row in rows for line in row["lines"] if line["passed"] is not None]
    missed = [f"{name}, {line['what']}" for name, line in bars if not line["passed"]]
    failed = [f"{row['row']} ({row['error'] or row['skipped']})" for row in rows if row["error"] or row["skipped"]]
    minutes = sum(row["seconds"] for row in rows) / 60
    said = [f"{len(bars) - len(missed)} of {len(bars)} bars are met; all rows took {minutes:.0f} minutes."]
    said += [f"{what}: {'; '.join(which)}." for what, which in (("Missed", missed), ("Not measured", failed)) if which]
    return " ".join(said)


def _whence(rows: Rows) -> list[str]:
    runs: dict[str, list[str]] = {}
    for row in rows:
        of = row["of"]
        said = f"{figures.source([of])}, {of['processor']}, {of['at'][11:16]} UTC, load {of['loadBefore']} before" + (
            ", with changes that were not committed" if of["changed"] else ""
        )
        runs.setdefault(said, []).append(row["row"])
    return [f"* {', '.join(names)}: {said}." for said, names in runs.items()]
