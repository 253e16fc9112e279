"""Lighthouse on a page as a phone opens it. It needs Node, and npm's registry once."""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

VERSION = "lighthouse@12.8.2"
CATEGORIES = ("performance", "accessibility", "best-practices")
LEAST = 95
FLAGS = "--headless=new --no-sandbox --disable-gpu"


class NotRun(Exception):
    """Lighthouse cannot be had on this machine."""


@dataclass(frozen=True, slots=True)
class Report:
    """Scores of the categories, 0 to 100, and the audits that cost points."""

    scores: dict[str, int]
    poor: dict[str, str]


def look(url: str, chromium: str, folder: Path) -> Report:
    """Have Lighthouse look at `url`. Raises `NotRun` where there is no Node or no registry."""
    npx = shutil.which("npx")
    if npx is None:
        raise NotRun("no npx (Node) here: Lighthouse is NOT RUN")
    report = folder / "lighthouse.json"
    command = [npx, "--yes", VERSION, url, "--quiet", f"--chrome-flags={FLAGS}"]
    command += [f"--only-categories={','.join(CATEGORIES)}", "--output=json", f"--output-path={report}"]
    told = os.environ | {"CHROME_PATH": chromium}
    done = subprocess.run(command, env=told, capture_output=True, text=True, timeout=280)
    if not report.exists() and "npm error" in done.stderr:
        raise NotRun("npm cannot get Lighthouse: it is NOT RUN")
    assert report.exists(), done.stderr[-2000:]
    found = json.loads(report.read_text())
    poor = {
        audit["id"]: audit.get("displayValue", audit["title"])
        for category in found["categories"].values()
        for ref in category["auditRefs"]
        if (audit := found["audits"][ref["id"]])["score"] is not None and audit["score"] < 0.9 and ref["weight"]
    }
    return Report({name: round(100 * found["categories"][name]["score"]) for name in CATEGORIES}, poor)
