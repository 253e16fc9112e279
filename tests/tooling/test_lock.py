"""The locks belong to pyproject.toml, and name no index."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = ["requirements.txt", "requirements-demo.txt", "requirements-dev.txt"]


def test_the_locks_are_fresh():
    checked = subprocess.run([sys.executable, ".ci/lock.py", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout


def test_a_changed_dependency_makes_the_locks_stale(tmp_path):
    for name in ["pyproject.toml", *LOCKS, ".ci/lock.py"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text((ROOT / name).read_text())
    project = tmp_path / "pyproject.toml"
    project.write_text(project.read_text().replace('"arq==0.28.0"', '"arq==0.27.0"'))
    checked = subprocess.run([sys.executable, ".ci/lock.py", "--check"], cwd=tmp_path, capture_output=True, text=True)
    assert checked.returncode == 1
    assert "requirements.txt does not belong to pyproject.toml" in checked.stdout


@pytest.mark.parametrize("name", LOCKS)
def test_every_package_is_pinned_with_a_hash_and_no_index_is_named(name):
    text = (ROOT / name).read_text()
    assert "http" not in re.sub(r"^ *#.*$|httpx|httpcore|httptools", "", text, flags=re.MULTILINE)
    packages = re.split(r"\n(?=[a-z0-9])", text, flags=re.IGNORECASE)[1:]
    assert packages
    for package in packages:
        assert re.match(r"[A-Za-z0-9_.-]+(\[[a-z,]+\])?==\S+", package), package
        assert "--hash=sha256:" in package, package
