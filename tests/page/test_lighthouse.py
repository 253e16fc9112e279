"""Lighthouse on the page as a phone opens it. Played by `make gallery`, for it takes the machine to itself."""

import os
from pathlib import Path

import pytest

from tests.page import lighthouse
from tests.page.server import Script

pytestmark = pytest.mark.skipif(
    "GALLERY" not in os.environ, reason="Lighthouse wants the machine to itself: make gallery"
)


def test_lighthouse_finds_the_page_good(script: Script, chromium_executable: str, tmp_path: Path) -> None:
    try:
        report = lighthouse.look(f"{script.url}/link#the-token", chromium_executable, tmp_path)
    except lighthouse.NotRun as missing:
        pytest.skip(str(missing))
    print(f"Lighthouse, mobile: {report.scores}")
    assert all(score >= lighthouse.LEAST for score in report.scores.values()), report
