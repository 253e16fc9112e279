"""Locks the dependencies: `requirements.txt` to run, `requirements-demo.txt` for the emulator, `requirements-dev.txt` for all.

    python .ci/lock.py            lock anew, keeping the versions that still fit (needs uv and the package index)
    python .ci/lock.py --upgrade  take the newest versions that fit
    python .ci/lock.py --check    say whether the locks belong to pyproject.toml; needs no network

One lock fits every interpreter and platform that we support (markers tell them apart) and holds a hash for each file,
so that `pip install --require-hashes` takes exactly what was locked, from whichever index the machine uses.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST = "3.11"
RUNTIME = ROOT / "requirements.txt"
DEMO = ROOT / "requirements-demo.txt"
DEV = ROOT / "requirements-dev.txt"
MARK = "# Inputs: "


def digest() -> str:
    """Of everything in pyproject.toml that a lock depends on."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    inputs = [project["project"]["requires-python"], project["project"]["dependencies"], project["dependency-groups"]]
    return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()[:32]


def header(purpose: str) -> str:
    """The first lines of a lock; the digest in them is what `--check` compares."""
    return f"# {purpose} Made by `make lock` from pyproject.toml; not edited by hand.\n{MARK}{digest()}\n"


def stale() -> list[Path]:
    """The locks that pyproject.toml has outgrown, or that are missing."""
    wanted = MARK + digest()
    return [
        path
        for path in (RUNTIME, DEMO, DEV)
        if not path.exists() or wanted not in path.read_text(encoding="utf-8").splitlines()[:3]
    ]


def compile_to(path: Path, purpose: str, *options: str) -> None:
    """Resolve into `path`. Raises CalledProcessError when uv finds no set of versions that fits."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", "--quiet", "--universal"]
    command += [
        "--python-version",
        OLDEST,
        "--generate-hashes",
        "--no-header",
        "--no-emit-index-url",
        "--no-emit-find-links",
    ]
    command += ["--output-file", path.name, *options]
    subprocess.run(command, cwd=ROOT, check=True)
    path.write_text(header(purpose) + path.read_text(encoding="utf-8"), encoding="utf-8")


def main() -> int:
    """Exit code 1 when `--check` finds a stale lock."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--check", action="store_true")
    mode.add_argument("--upgrade", action="store_true")
    asked = parser.parse_args()
    if asked.check:
        outgrown = stale()
        for path in outgrown:
            print(f"{path.name} does not belong to pyproject.toml any more: run `make lock` and commit it")
        return 1 if outgrown else 0
    upgrade = ["--upgrade"] if asked.upgrade else []
    compile_to(RUNTIME, "What the service runs with.", *upgrade)
    compile_to(
        DEMO, "The same, and what the emulator needs.", "--group", "demo", "--constraint", RUNTIME.name, *upgrade
    )
    compile_to(DEV, "The same, and what tests and checks need.", "--group", "dev", "--constraint", DEMO.name, *upgrade)
    return 0


if __name__ == "__main__":
    sys.exit(main())
