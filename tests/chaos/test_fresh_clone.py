"""The first two minutes of a stranger: a fresh clone, a clean home, no environment, `make` and `python3` and no Redis: one
command, one link, a few clicks, linked. Once on this machine's own tools, once in a fresh Debian. It installs from the
package registry, so `make chaos` runs it."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.tooling.launched import command_line
from tests.tooling.stranger import address, arriving

ROOT = Path(__file__).resolve().parents[2]
READY_SECONDS, LINKED_SECONDS, MOST_MB = 30, 60, 250
#: What every Unix has, beside python3 and make. No Redis, no git, no Node, no compiler.
UNIX = (
    *("sh", "awk", "cat", "chmod", "cksum", "cp", "cut", "date", "dirname", "du", "env", "grep", "head", "ln", "ls"),
    *("mkdir", "mktemp", "mv", "readlink", "rm", "sed", "sort", "tail", "tr", "uname", "wc"),
)
CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"
STRANGER = 1000

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif("FRESH" not in os.environ, reason="make chaos runs it: it installs 200 MB from the registry"),
]


def copy_files(folder):
    """The files of the repository, as a clone has them."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


def is_of_the_machine(name):
    """How this machine reaches the registry is the machine's: where its proxy is, and whom it trusts."""
    return name.startswith(("PIP_", "UV_", "SSL_", "TMPDIR", "WA_TEST")) or name.lower().endswith("_proxy")


@pytest.fixture
def here(tmp_path):
    """A command, its folder and its environment: this machine, with a PATH that has nothing else on it."""
    copy_files(tmp_path / "clone")
    (tmp_path / "bin").mkdir()
    for tool in (*UNIX, "make"):
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool))
    (tmp_path / "bin" / "python3").symlink_to(sys._base_executable)  # type: ignore[attr-defined] # behind our own environment
    (tmp_path / "home").mkdir()
    kept = {name: value for name, value in os.environ.items() if is_of_the_machine(name)}
    environment = {**kept, "PATH": str(tmp_path / "bin"), "HOME": str(tmp_path / "home")}
    return ["make", "demo"], tmp_path / "clone", environment


@pytest.fixture
def debian(tmp_path):
    """The same in a fresh Debian, as somebody who is not root."""
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        pytest.skip("NO debootstrap, or not root")
    root = tmp_path / "root"
    line = ["debootstrap", "--variant=minbase", "--include=make,python3,python3-venv,ca-certificates", "bookworm", root]
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL)
    for name in ("etc/resolv.conf", "etc/hosts", CERTIFICATES):
        shutil.copy(f"/{name}", root / name)
    clone = root / "home" / "stranger" / "clone"
    copy_files(clone)
    for path in (clone.parent, *clone.parent.rglob("*")):
        os.chown(path, STRANGER, STRANGER, follow_symlinks=False)
    kept = [
        f"{name}={value}"
        for name, value in os.environ.items()
        if name.startswith(("WA_TEST", "PIP_CERT")) or name.lower().endswith("_proxy")
    ]
    inside = [
        "env",
        "-i",
        "PATH=/usr/bin:/bin",
        "HOME=/home/stranger",
        *kept,
        "make",
        "-C",
        "/home/stranger/clone",
        "demo",
    ]
    # The mounts are those of a container, and gone with it.
    mounts = f"mount -t tmpfs -o mode=1777 tmpfs {root}/dev/shm && mount -t proc proc {root}/proc"
    enter = f'{mounts} && exec chroot --userspec={STRANGER}:{STRANGER} {root} "$@"'
    return ["unshare", "--mount", "sh", "-c", enter, "sh", *inside], clone, dict(os.environ)


@pytest.mark.parametrize("machine", ["here", "debian"])
def test_a_fresh_clone_is_linked_within_a_minute_by_clicks_in_one_page(machine, request, chromium_executable):
    command, clone, environment = request.getfixturevalue(machine)
    began, said = time.monotonic(), ""
    process = subprocess.Popen(
        command, cwd=clone, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            said += line
            if "/demo" in line and "http://" in line:
                break
        else:
            raise AssertionError(said)
        ready = time.monotonic() - began
        with arriving(address(line), chromium_executable) as stranger:
            stranger.press("Scan it")
            stranger.sees("linked")
            linked = time.monotonic() - began
        size = sum(path.lstat().st_size for path in (clone / ".venv").rglob("*")) / 1e6
        print(f"\n{said}\nready after {ready:.1f} s, linked after {linked:.1f} s, .venv {size:.0f} MB")
        assert any(one.startswith("Making .venv") for one in said.splitlines()[:2]), "it speaks from the first second"
        family = psutil.Process(process.pid).children(recursive=True)
        assert any("redis-server" in command_line(one) for one in family), "the bundled one"
        assert (clone / ".venv" / "bin" / "redis-server").exists()
        assert ready <= READY_SECONDS
        assert linked <= LINKED_SECONDS
        assert size <= MOST_MB
    finally:
        for one in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
            one.terminate()
        process.wait(40)
        process.stdout.close()
