"""`python -m emulator.readme` writes the catalogue of faults and the list of events into README.md; a test compares."""

from __future__ import annotations

import re
from pathlib import Path

from emulator.faults import FAULTS

_README = Path(__file__).with_name("README.md")


def catalogue() -> str:
    """The table of faults, as it stands in the README."""
    rows = "".join(f"| `{fault}` | {doc.what} | {doc.parameters} | {doc.seen} |\n" for fault, doc in FAULTS.items())
    return "| fault | what happens | parameters | how neonize shows it |\n|---|---|---|---|\n" + rows


def main() -> None:
    """Writes the table between its marks."""
    text = _README.read_text()
    new = re.sub(
        r"(<!-- faults -->\n).*?(<!-- /faults -->)", lambda m: m[1] + catalogue() + m[2], text, flags=re.DOTALL
    )
    _README.write_text(new)


if __name__ == "__main__":
    main()
