"""The little Markdown that the documents need."""

import inspect
from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; a bar within a cell is escaped."""
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def generated_from(*sources: str) -> str:
    """The second line of a generated document."""
    return f"<!-- Generated from {' and '.join(sources)} by `make docs`; do not edit. -->"


def said(thing: type) -> str:
    """A class's docstring as one paragraph."""
    return " ".join((inspect.getdoc(thing) or "").split())


def document(*parts: str) -> str:
    """The parts with blank lines between them."""
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"
