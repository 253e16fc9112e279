"""`make site`: the documents as static HTML. Every link leads somewhere, and no page asks another host for anything."""

import subprocess
import sys

import pytest
from PIL import Image, ImageSequence

from docs.site import links, mermaid
from tests.tooling.documented import ROOT

README = ROOT / "README.md"
DANCE = ROOT / "docs" / "screenshots" / "dance.webp"


def test_it_builds_and_all_of_its_links_lead_somewhere(tmp_path):
    line = [sys.executable, "-m", "docs.site", str(tmp_path / "site")]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    start = (tmp_path / "site" / "docs" / "start.html").read_text()
    for reader in ("You help owners", "You are on call", "You integrate it", "You work on it"):
        assert reader in start
    assert "mermaid-" in (tmp_path / "site" / "docs" / "lifecycle.html").read_text()
    assert "make site" in README.read_text()


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ('<a href="gone.html">x</a>', "no such file"),
        ('<a href="#nowhere">x</a>', "no such place"),
        ('<script src="https://cdn.example/x.js"></script>', "loads https://cdn.example"),
        ('<link rel="stylesheet" href="//fonts.example/x.css">', "loads //fonts.example"),
        ('<a href="https://example.org/">x</a><a href="page.html#here" id="here">x</a>', None),
    ],
)
def test_the_checker_of_links_sees_what_is_wrong(tmp_path, body, fault):
    (tmp_path / "page.html").write_text(body)
    found = links.faults(tmp_path)
    assert (fault is None) == (found == [])
    assert fault is None or fault in found[0]


def test_every_drawing_has_its_picture_and_no_picture_is_left_over():
    there = {path.name for path in mermaid.FIGURES.glob("mermaid-*.svg")}
    assert there == set(mermaid.drawings()), "run: python -m docs.site.mermaid"


def test_the_picture_of_the_dance_moves_and_is_small():
    assert DANCE.relative_to(ROOT).as_posix() in README.read_text()
    assert DANCE.stat().st_size <= 1_500_000
    with Image.open(DANCE) as picture:
        assert len(list(ImageSequence.Iterator(picture))) >= 8
