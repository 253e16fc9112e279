"""An engine process is held to its own, whatever its library is made to try."""

import contextlib
import ctypes
import json
import os
import re
import socket
from pathlib import Path

import pytest

from tests.engine.conftest import FAKE
from tests.engine.steps import story
from workers.engine.child import kernel
from workers.engine.parent import engine_environment
from workers.engine.processes import Engines, Options
from workers.engine.protocol import Ended, Start

ALLOWED = {"write into its folder", "look a name up", "make a pair", "dial its proxy"}
CANARY = "canary-secret-of-the-worker"


def status(pid, name):
    """The line of each of its threads."""
    found = set()
    for thread in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            said = Path(f"/proc/{pid}/task/{thread}/status").read_text()
            found.add(re.search(rf"^{name}:\s*(.*)$", said, re.MULTILINE)[1])
    return found


@pytest.fixture
def whole():
    """A kernel that can do all of it; elsewhere the test says why it does not run."""
    if kernel._libc.syscall(kernel._CREATE, None, ctypes.c_size_t(0), 1) < 6:
        pytest.skip("THIS KERNEL has no Landlock 6")


@pytest.fixture
def folder(tmp_path):
    """The folder of linkers, below which alone they may write."""
    own = tmp_path / "linking"
    own.mkdir()
    return own


@pytest.fixture
def proxy():
    """A listening socket that is the engine processes' proxy."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


@pytest.fixture
async def held(folder, proxy, monkeypatch):
    """Engines with the environment of a worker that has secrets."""
    for name in ("SECRET_KEY", "API_KEYS", "DATABASE_URL", "WEBHOOK_SECRET", "SENTRY_DSN", "BACKUP_KEY", "REDIS_URL"):
        monkeypatch.setenv(name, CANARY)
    url = f"http://127.0.0.1:{proxy.getsockname()[1]}"
    for name, value in {"PYTHONPATH": str(FAKE), "WA_FAKE_LINKER": "1", "HTTPS_PROXY": url}.items():
        monkeypatch.setenv(name, value)
    options = Options(device_name="Salon", linking=(str(folder),), devices=(str(folder),))
    async with Engines(options) as engines:
        yield engines


async def test_a_library_that_turns_on_us_gets_nothing(held, folder, proxy, tmp_path, whole):
    secret = tmp_path / "other" / "settings.env"
    secret.parent.mkdir()
    secret.write_text(CANARY)
    victim = {"worker": os.getpid(), "secret": str(secret), "outside": str(tmp_path / "outside")}
    victim |= {"unix": str(folder / "manager"), "proxy": proxy.getsockname()[1]}
    with socket.create_server(("127.0.0.1", 0)) as other, socket.socket(socket.AF_UNIX) as manager:
        manager.bind(str(victim["unix"]))
        manager.listen()
        (folder / "victim.json").write_text(json.dumps(victim | {"port": other.getsockname()[1]}))
        linker = await held.linker()
        await linker.send(Start(database=f"burgle in {folder}"))
        ended, _ = await story(linker)
    assert isinstance(ended, Ended)
    said = json.loads(ended.reason)
    assert {name for name, how in said["went"].items() if how == "done"} == ALLOWED, said["went"]
    assert re.fullmatch(r"landlock \d+, seccomp", said["held"])
    assert not {"SECRET_KEY", "API_KEYS", "DATABASE_URL", "REDIS_URL", "BACKUP_KEY"} & set(said["environment"])
    assert not (tmp_path / "outside").exists()


async def test_neither_the_zygote_nor_its_children_have_the_workers_secrets(held):
    linker = await held.linker()
    for pid in (held.pid, linker.pid):
        assert CANARY.encode() not in Path(f"/proc/{pid}/environ").read_bytes()
        assert Path(f"/proc/{pid}/limits").read_text().count("Max core file size        0") or pid == linker.pid
    assert CANARY not in str(engine_environment())


async def test_real_linkers_and_holders_are_held_in_every_thread(folder, whole):
    options = Options(device_name="Salon", linking=(str(folder),), devices=(str(folder),))
    async with Engines(options, engine_environment() | {"HTTPS_PROXY": "http://127.0.0.1:1"}) as engines:
        for made in (await engines.linker(), await engines.holder()):
            assert status(made.pid, "Seccomp") == {"2"}
            assert status(made.pid, "NoNewPrivs") == {"1"}
            assert re.search(r"Max core file size +1 +1 ", Path(f"/proc/{made.pid}/limits").read_text())
            await made.kill()
        assert re.fullmatch(r"landlock \d+, seccomp", engines.held)


async def test_a_kernel_that_cannot_hold_is_told_and_serves(folder, monkeypatch):
    """As in a container whose own filter refuses both."""
    refusing = folder.parent / "hook.py"
    refusing.write_text(
        "import workers.engine.child.kernel as kernel\n"
        "def refuse(*_, **__): raise kernel.NotHeld(1, 'no')\n"
        "kernel.landlock = kernel.seccomp = refuse\n"
    )
    options = Options(device_name="Salon", linking=(str(folder),), devices=(str(folder),))
    more = {"PYTHONPATH": f"{FAKE}:{Path(__file__).parents[2]}", "WA_FAKE_NEXT_HOOK": str(refusing)}
    async with Engines(options, engine_environment() | more | {"HTTPS_PROXY": "http://127.0.0.1:1"}) as engines:
        await (await engines.linker()).kill()
        assert engines.held == ""
