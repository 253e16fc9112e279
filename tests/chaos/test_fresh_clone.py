"""The first two minutes of a stranger: a fresh clone, a clean home, no environment, `make` and `python3` and no Redis: one
command, one link, a few clicks, linked. Once on this machine's own tools, once in a fresh Debian. It installs from the
package registry, so `make chaos` runs it."""

import os
import shutil
import subprocess
import time

import psutil
import pytest

from tests.tooling import fresh
from tests.tooling.launched import command_line
from tests.tooling.stranger import address, arriving

READY_SECONDS, LINKED_SECONDS, AGAIN_SECONDS, MOST_MB = 30, 60, 10, 250
CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"
STRANGER = 1000

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif("FRESH" not in os.environ, reason="make chaos runs it: it installs 200 MB from the registry"),
]


@pytest.fixture
def here(tmp_path):
    """This machine, with a PATH that has nothing else on it."""
    return fresh.here(tmp_path)


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
    fresh.copy_files(clone)
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
    return fresh.Fresh(["unshare", "--mount", "sh", "-c", enter, "sh", *inside], clone, dict(os.environ))


@pytest.mark.parametrize("machine", ["here", "debian"])
def test_a_fresh_clone_is_linked_within_a_minute_by_clicks_in_one_page(machine, request, chromium_executable):
    clone = request.getfixturevalue(machine)
    with fresh.demo(clone) as ready:
        with arriving(address(ready.link), chromium_executable) as stranger:
            stranger.press("Scan it")
            stranger.sees("linked")
            linked = time.monotonic() - ready.began
        size = fresh.installed_mb(clone)
        assert any(one.startswith("Making .venv") for one in ready.said.splitlines()[:2]), (
            "it speaks from the first second"
        )
        family = psutil.Process(ready.process.pid).children(recursive=True)
        assert any("redis-server" in command_line(one) for one in family), "the bundled one"
        assert (clone.clone / ".venv" / "bin" / "redis-server").exists()
    with fresh.demo(clone) as again:
        assert ".venv" not in again.said, "nothing is installed twice"
    told = f"ready after {ready.seconds:.1f} s, linked after {linked:.1f} s, again ready after {again.seconds:.1f} s"
    print(f"\n{ready.said}\n{told}, .venv {size:.0f} MB")
    assert ready.seconds <= READY_SECONDS
    assert linked <= LINKED_SECONDS
    assert again.seconds <= AGAIN_SECONDS
    assert size <= MOST_MB
