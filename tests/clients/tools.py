"""Tools of Python that these tests run, each in an environment of its own, made once in the machine's cache by uv.

They are no dependencies of ours: schemathesis alone brings sixty packages, of versions that it wants.
"""

import contextlib
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

SCHEMATHESIS = "schemathesis==4.32.5"
OPENAPI_PYTHON_CLIENT = "openapi-python-client==0.29.1"
NEWEST = "2026-11-29"
"""Nothing that was published later is installed beside them."""
INSTALL_SECONDS = 240


@functools.cache
def tool(package: str) -> Path:
    """The folder with the programs of a package. Skips the test where no registry can be reached."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "whatsapp-onboarding-tests")
    folder = cache / f"{package.replace('==', '-')}-py{sys.version_info.major}.{sys.version_info.minor}"
    if not (folder / "made").exists():
        cache.mkdir(parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(prefix=".tool-", dir=cache))
        uv = str(Path(sys.executable).with_name("uv"))
        make = [uv, "venv", "--quiet", "--relocatable", "--clear", "--python", sys.executable, str(new)]
        install = [uv, "pip", "install", "--quiet", "--exclude-newer", NEWEST, "--python", f"{new}/bin/python", package]
        try:
            for command in (make, install):
                subprocess.run(command, check=True, timeout=INSTALL_SECONDS, capture_output=True)
        except (subprocess.SubprocessError, OSError) as error:
            shutil.rmtree(new, ignore_errors=True)
            pytest.skip(f"NO {package}: it could not be installed ({type(error).__name__})")
        (new / "made").touch()
        with contextlib.suppress(OSError):  # another process was first
            new.rename(folder)
        shutil.rmtree(new, ignore_errors=True)
    return folder / "bin"
