"""The command: see the package."""

import shutil
import sys
from pathlib import Path

from sphinx.cmd.build import build_main

from docs.site import links

ROOT = Path(__file__).resolve().parents[2]
FRONT = '<!doctype html><meta charset="utf-8"><title>Start here</title><meta http-equiv="refresh" content="0; url=docs/start.html">'


def build(out: Path) -> int:
    """Build into `out`; 0 if every link leads somewhere."""
    if out.exists():
        shutil.rmtree(out)
    here = Path(__file__).parent
    code = build_main(
        ["-q", "-W", "--keep-going", "-b", "html", "-c", str(here), "-d", str(out / ".doctrees"), str(ROOT), str(out)]
    )
    if code:
        return code
    shutil.rmtree(out / ".doctrees")
    # Sphinx brings the pictures of Markdown along, and not those of HTML.
    shutil.copytree(ROOT / "docs" / "screenshots", out / "docs" / "screenshots")
    (out / "index.html").write_text(FRONT + "\n", encoding="utf-8")
    wrong = links.faults(out)
    sys.stderr.writelines(f"{one}\n" for one in wrong)
    return 1 if wrong else 0


def main() -> int:
    """The exit code."""
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "site"
    code = build(out)
    if not code:
        sys.stdout.write(f"The site is in {out}: open {out / 'index.html'}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
