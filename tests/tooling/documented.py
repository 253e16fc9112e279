"""The code blocks of the documents, and the mark of each, which says who runs it (docs/style.md):

    <!-- run: demo -->
    ```console
    $ ./onboarding status
    ```

A mark stands on the line before its block; one that begins with `<!-- all` speaks for every block of its page that has
none of its own.
"""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_FENCE = re.compile(r"^```([\w-]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MARK = re.compile(r"<!-- (run|shown): (.+?) -->\n$")
_PAGE = re.compile(r"^<!-- all (run|shown): (.+?) -->$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """A code block. `kind` is `run` or `shown`, or empty without a mark; `by` says who runs it, or why nobody does."""

    page: Path
    line: int
    language: str
    text: str
    kind: str
    by: str

    @property
    def name(self) -> str:
        """For a report."""
        return f"{self.page.relative_to(ROOT).as_posix()}:{self.line}"


def pages() -> list[Path]:
    """Every document."""
    rooms = [*ROOT.glob("*.md"), ROOT / "emulator" / "README.md", ROOT / "frontend" / "README.md"]
    return sorted([*rooms, *(ROOT / "docs").rglob("*.md")])


def blocks(page: Path) -> list[Block]:
    """The blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    general = _PAGE.search(text)
    found = []
    for fence in _FENCE.finditer(text):
        own = _MARK.search(text, 0, fence.start()) if text[: fence.start()].endswith("-->\n") else None
        kind, by = (own or general).groups() if own or general else ("", "")
        found.append(Block(page, text.count("\n", 0, fence.start()) + 1, fence[1], fence[2], kind, by))
    return found
