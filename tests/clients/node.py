"""What npm installs for these tests, once for each lock, in the machine's cache."""

import contextlib
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

HERE = Path(__file__).parent
INSTALL_SECONDS = 240


@functools.cache
def installed() -> Path:
    """The folder with `node_modules` in it. Skips the test where there is no Node or no registry."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("NO NODE on this machine: an integrator's JavaScript cannot run")
    digest = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "whatsapp-onboarding-tests")
    folder = cache / f"clients-{digest}"
    if not (folder / "node_modules").exists():
        cache.mkdir(parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(prefix=".clients-", dir=cache))
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, new)
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
        try:
            subprocess.run(command, cwd=new, check=True, timeout=INSTALL_SECONDS, capture_output=True)
        except subprocess.SubprocessError:
            shutil.rmtree(new, ignore_errors=True)
            pytest.skip("NO PACKAGES OF NPM: the registry could not be reached")
        with contextlib.suppress(OSError):  # another process was first
            new.rename(folder)
        shutil.rmtree(new, ignore_errors=True)
    return folder
