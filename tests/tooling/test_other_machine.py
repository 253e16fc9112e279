"""The library for the other machine, as the registry has it: its version is found and changed there as on this one."""

import hashlib
import importlib.metadata
import os
import platform
import shutil
import struct
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest

from workers.engine.library import copy_with, find_installed, read_library

ROOT = Path(__file__).resolve().parents[2]
VERSION = importlib.metadata.version("neonize")
MACHINES = {"x86_64": 62, "aarch64": 183}
"""As the head of an ELF file names them."""
OTHER = "aarch64" if platform.machine() == "x86_64" else "x86_64"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "whatsapp-onboarding-tests")


def fetched() -> Path:
    """The other machine's wheel, fetched once. Skips the test where there is no registry."""
    kept = CACHE / f"neonize-{VERSION}-{OTHER}.whl"
    if not kept.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
            command += [f"--platform=manylinux2014_{OTHER}", f"--dest={folder}", f"neonize=={VERSION}"]
            try:
                subprocess.run(command, check=True, timeout=120, capture_output=True)
            except subprocess.SubprocessError:
                pytest.skip(f"NO REGISTRY: the library for {OTHER} was not looked at")
            (wheel,) = Path(folder).iterdir()
            wheel.rename(kept)
    return kept


def test_the_library_of_the_other_machine_holds_the_same_version_and_takes_another(tmp_path: Path) -> None:
    wheel = fetched()
    assert hashlib.sha256(wheel.read_bytes()).hexdigest() in (ROOT / "requirements.txt").read_text()
    with zipfile.ZipFile(wheel) as packed:
        (name,) = [one for one in packed.namelist() if one.endswith(".so")]
        path = tmp_path / Path(name).name
        with packed.open(name) as source, path.open("wb") as target:
            shutil.copyfileobj(source, target)
    (machine,) = struct.unpack_from("<H", path.read_bytes(), 18)
    assert machine == MACHINES[OTHER]
    ours, theirs = read_library(find_installed()), read_library(path)
    assert (theirs.revision, theirs.born) == (ours.revision, ours.born)
    newer = ours.revision + 1_000_000
    copy = copy_with(theirs, newer, tmp_path / "engine")
    assert read_library(copy).revision == newer
    assert sum(a != b for a, b in zip(path.read_bytes(), copy.read_bytes(), strict=True)) <= 4
