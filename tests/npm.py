"""What npm installs for tests, once for each lock, in the machine's cache."""

import contextlib
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

INSTALL_SECONDS = 240


@functools.cache
def installed(lock: Path, what: str) -> Path:
    """The folder with the `node_modules` of a package-lock.json. Skips the test where there is no Node or no registry:
    `what` cannot run then."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip(f"NO NODE on this machine: {what} cannot run")
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "whatsapp-onboarding-tests")
    folder = cache / f"{lock.parent.name}-{digest}"
    if not (folder / "node_modules").exists():
        cache.mkdir(parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(prefix=f".{lock.parent.name}-", dir=cache))
        for name in ("package.json", "package-lock.json"):
            shutil.copy(lock.with_name(name), new)
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
        try:
            subprocess.run(command, cwd=new, check=True, timeout=INSTALL_SECONDS, capture_output=True)
        except subprocess.SubprocessError:
            shutil.rmtree(new, ignore_errors=True)
            pytest.skip(f"NO PACKAGES OF NPM: the registry could not be reached, so {what} cannot run")
        with contextlib.suppress(OSError):  # another process was first
            new.rename(folder)
        shutil.rmtree(new, ignore_errors=True)
    return folder
