"""`python -m emulator.readme` writes the catalogues of faults and of ordinary life into README.md; a test compares."""

from __future__ import annotations

from pathlib import Path

from emulator.faults import FAULTS
from emulator.life import LIFE

_README = Path(__file__).with_name("README.md")


def catalogue() -> str:
    """The table of faults, as it stands in the README."""
    rows = "".join(f"| `{fault}` | {doc.what} | {doc.parameters} | {doc.seen} |\n" for fault, doc in FAULTS.items())
    return "| fault | what happens | parameters | how neonize shows it |\n|---|---|---|---|\n" + rows


def ordinary_life() -> str:
    """The table of what happens without anybody's fault."""
    return "| life | what happens |\n|---|---|\n" + "".join(f"| `{life}` | {what} |\n" for life, what in LIFE.items())


def main() -> None:
    """Writes each table between its marks."""
    text = _README.read_text()
    for mark, table in (("faults", catalogue()), ("life", ordinary_life())):
        start, end = f"<!-- {mark} -->\n", f"<!-- /{mark} -->"
        before, _, rest = text.partition(start)
        text = before + start + table + end + rest.partition(end)[2]
    _README.write_text(text)


if __name__ == "__main__":
    main()
