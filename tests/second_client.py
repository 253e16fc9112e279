"""How the second real client fared, by name: a line at the end of a run, which `.ci/test` puts into its summary.

For `tests/conftest.py`: under xdist the one who prints loads no other conftest.
"""

import json
from pathlib import Path

from _pytest.terminal import TerminalReporter

FOLDER = "tests/baileys/"
_PACKAGE = Path(__file__).parent / "baileys" / "package.json"
_FATES = ("passed", "failed", "error", "skipped")


def line(counts: dict[str, int], why: str) -> str:
    """`Baileys 7.0.0-rc14, the second real client: 4 passed`, or in capitals that it did not run, and why."""
    version = json.loads(_PACKAGE.read_text())["dependencies"]["baileys"]
    told = ", ".join(f"{count} {fate}" for fate, count in counts.items() if count)
    silent = not any(count for fate, count in counts.items() if fate != "skipped")
    return f"Baileys {version}, the second real client: {f'DID NOT RUN: {why} ({told})' if silent else told}"


def print_line(reporter: TerminalReporter) -> None:
    """Print it if any of its tests was chosen."""
    found = {fate: [one for one in reporter.stats.get(fate, []) if _is_its(one)] for fate in _FATES}
    if any(found.values()):
        skips = [one.longrepr for one in found["skipped"] if isinstance(one.longrepr, tuple)]
        why = skips[0][2].removeprefix("Skipped: ") if skips else "?"
        reporter.write_line(line({fate: len(reports) for fate, reports in found.items()}, why))


def _is_its(report: object) -> bool:
    return getattr(report, "nodeid", "").startswith(FOLDER) and getattr(report, "when", "") != "teardown"
