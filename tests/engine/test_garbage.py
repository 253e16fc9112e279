"""How much garbage the library lets its heap gather, told by Go's own trace."""

import os
import subprocess
import sys

import pytest

from workers.engine.orders import GARBAGE, LINKERS_GARBAGE

LOAD = """
import sys, time
from workers.engine.child.preload import load_library, preload
from workers.engine.child.process import overwrite_variable
preload()
overwrite_variable("GOGC", *sys.argv[1:])
load_library(None)
"""


def goals(given: str, known: str, value: str) -> set[str]:
    """The sizes at which Go collects while the library is loaded."""
    environment = os.environ | {"GODEBUG": "gctrace=1", "GOGC": given}
    command = [sys.executable, "-c", LOAD, known, value]
    said = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True).stderr
    return {part for line in said.splitlines() if line.startswith("gc ") for part in line.split(", ") if "goal" in part}


@pytest.mark.parametrize(
    ("given", "collects"),
    [(GARBAGE, False), ("025", True)],
    ids=["a linker has its own choice", "an operator's own word wins"],
)
def test_go_finds_what_was_written_over_its_environment(given, collects):
    assert "2 MB goal" in goals(GARBAGE, "999", "000"), "else the trace shows nothing"
    assert bool(goals(given, GARBAGE, LINKERS_GARBAGE) & {"1 MB goal", "2 MB goal"}) is collects
