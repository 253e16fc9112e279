"""Sphinx' settings for the site; see the package."""

import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from docs.site import mermaid  # noqa: E402 - the path first
from shared import VERSION  # noqa: E402

project = "WhatsApp onboarding"
release = VERSION
project_copyright = "the project's authors, Apache-2.0"
extensions = ["myst_parser"]
root_doc = "docs/start"
include_patterns = ["*.md", "docs/**.md", "docs/adr/**.md", "emulator/README.md", "frontend/README.md"]
myst_heading_anchors = 4
#: A page of ours may begin at any level; code in a language that nobody colours is shown plain.
suppress_warnings = ["myst.header", "misc.highlighting_failure"]
html_theme = "furo"
html_title = f"{project} {release}"
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {"source_repository": "", "top_of_page_buttons": []}

#: Heads of the contents, and their pages in order; what is missing here stands at the end.
CONTENTS = {
    "Begin": ("README", "docs/architecture", "docs/glossary", "CHANGELOG"),
    "Operate": (
        *("docs/deploy", "docs/environment", "docs/operations", "docs/game-day", "docs/recovery", "docs/redis-keys"),
        *("docs/device-store", "docs/security", "SECURITY", "docs/benchmark", "docs/measured", "docs/performance"),
    ),
    "Integrate": (
        "docs/integrate",
        "docs/api",
        "docs/webhooks",
        "docs/embedding",
        "docs/protocol",
        "docs/failures",
        "docs/moving-in",
        "docs/licences",
    ),
    "Develop": ("CONTRIBUTING", "docs/style", "docs/lifecycle", "docs/pipe", "frontend/README", "emulator/README"),
    "Decisions": ("docs/adr/README", "docs/adr/0*"),
}


def _contents() -> str:
    """The table of contents, which only the site has."""
    listed = {page for pages in CONTENTS.values() for page in pages}
    others = sorted(f"docs/{path.stem}" for path in (ROOT / "docs").glob("*.md"))
    more = tuple(page for page in others if page not in {root_doc, *listed})
    parts = []
    for head, pages in (CONTENTS | ({"More": more} if more else {})).items():
        lines = "\n".join(f"/{page}" for page in pages)
        parts.append(f"```{{toctree}}\n:hidden:\n:glob:\n:caption: {head}\n\n{lines}\n```\n")
    return "\n\n" + "\n".join(parts)


def _read(_app: Any, docname: str, source: list[str]) -> None:
    """The source that Sphinx reads: the page, with pictures in the place of drawings in Mermaid."""
    folder = Path(docname).parent
    up = "../" * len(folder.parts)
    source[0] = re.sub(
        r"^```mermaid\n(.*?)^```$",
        lambda found: f"![]({up}docs/figures/{mermaid.name(found[1])})",
        source[0],
        flags=re.MULTILINE | re.DOTALL,
    )
    # An anchor in HTML becomes one that Sphinx knows.
    source[0] = re.sub(r'^<a id="([\w.-]+)"></a>$', r"(\1)=", source[0], flags=re.MULTILINE)
    if docname == root_doc:
        source[0] += _contents()


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("source-read", _read)
