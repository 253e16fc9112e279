"""`python -m docs.site.mermaid`: draws the Mermaid pictures of the documents into `docs/figures/`, for the site.

GitHub draws them itself. The site shows pictures that were drawn before, so that building it needs neither npm nor a
browser. A picture's name has a hash of its text: a test sees when one is missing or left over.
"""

import hashlib
import json
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FIGURES = ROOT / "docs" / "figures"
PACKAGE = "mermaid@11.12.0"
_BLOCK = re.compile(r"^```mermaid\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LOOK = {"startOnLoad": False, "theme": "neutral", "htmlLabels": False, "flowchart": {"htmlLabels": False}}


def name(drawing: str) -> str:
    """The file of a drawing."""
    return f"mermaid-{hashlib.sha256(drawing.strip().encode()).hexdigest()[:10]}.svg"


def drawings() -> dict[str, str]:
    """Every drawing in the documents, by its file."""
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    return {name(one): one for page in pages for one in _BLOCK.findall(page.read_text(encoding="utf-8"))}


def draw(wanted: dict[str, str]) -> None:
    """Draw these, with Mermaid out of npm in a Chromium."""
    from playwright.sync_api import sync_playwright

    from tests import chromium

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        (archive,) = Path(folder).glob("*.tgz")
        with tarfile.open(archive) as packed:
            packed.extract("package/dist/mermaid.min.js", folder, filter="data")
        browser = playwright.chromium.launch(executable_path=chromium.found(), args=["--no-sandbox"])
        page = browser.new_page()
        page.add_script_tag(path=Path(folder) / "package" / "dist" / "mermaid.min.js")
        page.evaluate(f"mermaid.initialize({json.dumps(_LOOK)})")
        for file, drawing in wanted.items():
            svg = page.evaluate("async (text) => (await mermaid.render('drawing', text)).svg", drawing)
            # On white, whatever the reader's theme: the lines are dark.
            svg = svg.replace('style="', 'style="background: #fff; ', 1).replace("<br>", "<br/>")
            svg = re.sub(r"-?\d+\.\d{2,}", lambda found: f"{float(found[0]):.1f}", svg)  # no eye sees more
            (FIGURES / file).write_text(svg + "\n", encoding="utf-8")
        browser.close()


def main() -> int:
    """Draw what is missing, and remove what is left over."""
    FIGURES.mkdir(exist_ok=True)
    wanted = drawings()
    for path in FIGURES.glob("mermaid-*.svg"):
        if path.name not in wanted:
            path.unlink()
    missing = {file: drawing for file, drawing in wanted.items() if not (FIGURES / file).exists()}
    if missing:
        draw(missing)
    sys.stdout.write(f"{len(missing)} drawn, {len(wanted)} in all\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
