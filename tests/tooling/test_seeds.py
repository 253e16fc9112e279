"""A failing test says from which seed ordinary life was played."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEST = """
import pytest
from emulator.client import Emulator

READY = {"proxy_port": 1, "control_port": 1, "ca_path": "", "root_key": "", "life": 0.01, "seed": 4711}

@pytest.fixture
def emulator():
    return Emulator(READY)

@pytest.fixture
def broken(emulator):
    raise RuntimeError

def test_one(emulator): assert False
def test_two(emulator): pass
def test_three(broken): pass
"""


@pytest.mark.parametrize("how", [(), ("-n", "1")], ids=["alone", "beside others"])
def test_every_failing_report_has_the_seed_of_its_life(tmp_path: Path, how: tuple[str, ...]) -> None:
    (tmp_path / "test_it.py").write_text(TEST)
    (tmp_path / "tmp").mkdir()
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "tests.seeds",
            "-c",
            "/dev/null",
            f"--rootdir={tmp_path}",
            *how,
            tmp_path,
        ],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path / "tmp")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "1 failed, 1 passed, 1 error" in done.stdout, done.stdout
    for name in ("one", "three"):
        assert f"LIFE_SEED=4711 test_it.py::test_{name}  (rate 0.01)" in done.stdout
    assert "test_two  (rate" not in done.stdout
