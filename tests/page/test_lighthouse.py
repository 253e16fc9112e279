"""Lighthouse on the page as a phone opens it: performance, accessibility, best practices. Played by `make gallery`, for it
takes the machine to itself; it needs Node, and npm's registry once."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.page.server import Script

LIGHTHOUSE = "lighthouse@12.8.2"
WANTED = {"performance": 95, "accessibility": 95, "best-practices": 95}
QUIET = "--headless=new --no-sandbox --disable-gpu"

pytestmark = pytest.mark.skipif(
    "GALLERY" not in os.environ, reason="Lighthouse wants the machine to itself: make gallery"
)


def test_lighthouse_finds_the_page_good(script: Script, chromium_executable: str, tmp_path: Path) -> None:
    npx = shutil.which("npx")
    if npx is None:
        pytest.skip("no npx (Node) here: Lighthouse is NOT RUN")
    report = tmp_path / "report.json"
    command = [npx, "--yes", LIGHTHOUSE, f"{script.url}/link#the-token", "--quiet", f"--chrome-flags={QUIET}"]
    command += [f"--only-categories={','.join(WANTED)}", "--output=json", f"--output-path={report}"]
    done = subprocess.run(
        command, env=os.environ | {"CHROME_PATH": chromium_executable}, capture_output=True, text=True, timeout=280
    )
    if not report.exists() and "npm error" in done.stderr:
        pytest.skip("npm cannot get Lighthouse: it is NOT RUN")
    assert report.exists(), done.stderr[-2000:]
    found = json.loads(report.read_text())
    scores = {name: round(100 * found["categories"][name]["score"]) for name in WANTED}
    print(f"Lighthouse, mobile: {scores}")
    poor = {
        audit["id"]: audit.get("displayValue", audit["title"])
        for category in found["categories"].values()
        for ref in category["auditRefs"]
        if (audit := found["audits"][ref["id"]])["score"] is not None and audit["score"] < 0.9 and ref["weight"]
    }
    assert all(scores[name] >= least for name, least in WANTED.items()), (scores, poor)
