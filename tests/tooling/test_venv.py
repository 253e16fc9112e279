"""`make setup`: makes the environment once, and again only when it must."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = sys._base_executable  # type: ignore[attr-defined] # the one behind our own environment


@pytest.fixture
def clone(tmp_path):
    """What `.ci/venv` works with, a lock with nothing in it, and a machine for which no Redis is bundled."""
    (tmp_path / ".ci").mkdir()
    for name in ("venv", "pythons", "redis.txt"):
        shutil.copy(ROOT / ".ci" / name, tmp_path / ".ci" / name)
    for name in ("requirements.txt", "requirements-demo.txt", "requirements-dev.txt"):
        (tmp_path / name).write_text("# empty\n")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "uname").write_text("#!/bin/sh\necho Other\n")
    (tmp_path / "bin" / "uname").chmod(0o755)
    return tmp_path


def setup(clone, *arguments):
    path = f"{clone / 'bin'}{os.pathsep}{os.environ['PATH']}"
    command = [clone / ".ci" / "venv", ".venv", *arguments]
    return subprocess.run(command, env={**os.environ, "PATH": path}, capture_output=True, text=True)


def test_it_is_made_once_and_then_left_alone_until_the_lock_changes_or_it_breaks(clone):
    made = setup(clone, PYTHON)
    assert made.returncode == 0, made.stderr
    assert made.stdout.startswith("Making .venv with Python 3.")
    assert setup(clone).stdout == ""
    assert setup(clone, PYTHON).stdout == ""
    (clone / "requirements-dev.txt").write_text("# another\n")
    assert setup(clone).stdout.startswith("Installing requirements-dev.txt")
    assert setup(clone).stdout == ""
    (clone / ".venv" / "bin" / "python").unlink()
    assert setup(clone, PYTHON).stdout.startswith("Making .venv")


def test_one_that_was_interrupted_is_made_anew(clone):
    (clone / ".venv" / "bin").mkdir(parents=True)
    assert setup(clone, PYTHON).stdout.startswith("Making .venv")


def test_a_python_that_does_not_fit_leaves_what_is_there(clone):
    assert setup(clone, PYTHON).returncode == 0
    refused = setup(clone, "/nowhere/python3")
    assert refused.returncode != 0
    assert "PYTHON=/nowhere/python3 is no working Python" in refused.stderr
    assert setup(clone).stdout == ""


def test_what_was_made_for_more_serves_for_less_and_not_the_other_way_round(clone):
    assert setup(clone, PYTHON, "run").returncode == 0
    assert "Installing requirements-demo.txt" in setup(clone, "", "demo").stdout
    assert setup(clone, "", "run").stdout == ""
    assert "Installing requirements-dev.txt" in setup(clone, "", "dev").stdout
    assert setup(clone, "", "demo").stdout == ""
    (clone / "requirements.txt").write_text("# another\n")
    assert setup(clone, "", "run").stdout == "", "the lock of tests has not changed"


def test_a_kind_that_is_none_is_named(clone):
    refused = setup(clone, PYTHON, "everything")
    assert refused.returncode == 2
    assert "everything is no kind of environment" in refused.stderr


def test_when_nothing_can_be_had_one_sentence_says_what_to_look_at(clone):
    (clone / "requirements.txt").write_text(f"no-such-package==1.0 --hash=sha256:{'0' * 64}\n")
    refused = setup(clone, PYTHON, "run")
    assert refused.returncode == 1
    assert "The packages could not be installed. Is the package registry reachable" in refused.stderr
    assert not (clone / ".venv" / ".installed").exists()
