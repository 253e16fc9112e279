"""How `make setup` finds an interpreter."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def pythons(path, *arguments, home="/nonexistent"):
    return subprocess.run(
        [ROOT / ".ci" / "pythons", *arguments],
        env={
            "PATH": f"{path}{os.pathsep}/bin{os.pathsep}/usr/bin" if arguments == () else os.environ["PATH"],
            "HOME": str(home),
        },
        capture_output=True,
        text=True,
    )


def script(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def here():
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


def test_a_shim_that_does_not_work_is_passed_over(tmp_path):
    script(tmp_path / "python3.12", "echo 'pyenv: python3.12: command not found' >&2; exit 127")
    script(tmp_path / "python3", f'exec {sys.executable} "$@"')
    found = pythons(tmp_path)
    assert found.returncode == 0, found.stderr
    assert here() in [line.split()[0] for line in found.stdout.splitlines()]
    assert str(tmp_path) not in found.stdout


def test_each_version_is_named_once_and_the_best_first(tmp_path):
    found = pythons(tmp_path, home=Path.home())
    versions = [line.split()[0] for line in found.stdout.splitlines()]
    assert len(versions) == len(set(versions))
    assert set(versions) <= {"3.11", "3.12", "3.13"}


def test_one_that_does_not_fit_is_refused_in_a_sentence(tmp_path):
    old = tmp_path / "old"
    script(old, "exit 3")
    found = pythons(tmp_path, str(old))
    assert found.returncode == 1
    assert found.stderr == f"PYTHON={old} is no working Python 3.11, 3.12 or 3.13.\n"


def test_one_without_venv_is_told_with_the_cure(tmp_path):
    bare = tmp_path / "bare"
    script(bare, "exit 4")
    found = pythons(tmp_path, str(bare))
    assert found.returncode == 1
    assert "apt install python3-venv" in found.stderr


def test_none_at_all_is_told_with_the_way_out(tmp_path):
    for name in ("python3.12", "python3.13", "python3.11", "python3"):
        script(tmp_path / name, "exit 3")
    only_ours = subprocess.run(
        [ROOT / ".ci" / "pythons"], env={"PATH": str(tmp_path), "HOME": "/nonexistent"}, capture_output=True, text=True
    )
    assert only_ours.returncode == 1
    assert "make setup PYTHON=" in only_ours.stderr
