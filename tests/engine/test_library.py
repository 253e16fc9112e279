"""Traps of neonize 0.5.2 that the design rests on. When one of these fails after an upgrade, the design may become simpler.

They run in a forked child, where the library may abort.
"""

import json
import os
import signal
from pathlib import Path

import pytest

from emulator.client import Emulator
from emulator.environment import HOOK_DIRECTORY
from emulator.faults import Fault
from tests.engine.conftest import FAKE, OPTIONS
from tests.engine.steps import story
from workers.engine.processes import Engines, Exited
from workers.engine.protocol import Ended, Start


async def told(engines: Engines, what: str) -> dict[str, object]:
    linker = await engines.linker()
    await linker.send(Start(database=what))
    ended, exited = await story(linker)
    assert isinstance(ended, Ended), ended
    assert exited == Exited(code=0, signal=None)
    return dict(json.loads(ended.reason))


@pytest.mark.parametrize("what", ["panic", "unknown device"])
async def test_asking_who_one_is_and_starting_an_unknown_device_abort_the_process(acting, tmp_path, what):
    linker = await acting.linker()
    await linker.send(Start(database=f"{what} in {tmp_path}"))
    [exited] = await story(linker)

    assert isinstance(exited, Exited)
    assert exited.signal == signal.SIGABRT
    assert str(exited.panic).startswith("panic: ")


async def test_settings_before_and_around_the_import_hold(acting):
    facts = await told(acting, "facts")

    assert facts == {
        # Go hands its debug lines, QR secrets in them, to Python if this is unset.
        "log level": "INFO",
        # neonize.utils.log would add a handler to standard error.
        "root handlers": ["NullHandler"],
        # Python's default is cpu + 4 threads; every client needs one for ever.
        "executor": 4,
        # A client that is collected would stop a newer one with its uuid; a jid in the constructor would be the uuid.
        "finalizer alive": False,
        "uuid is fresh": True,
        "jid": "79001234567:3@s.whatsapp.net",
        # Bound as returning a string to free, while the Go function returns nothing: we bind it anew.
        "neonize frees what Stop returns": True,
        "ours does not": True,
        # The only news of an unpaired client.
        "the hook for words exists": True,
    }


async def test_two_hundred_starts_and_stops_at_once_survive(acting):
    """The library's Go maps have no locks: without ours this ends in `fatal error: concurrent map writes`."""
    assert await told(acting, "storm") == {"ends": ["Over"], "starts": 200}


async def test_the_thread_of_an_unpaired_client_outlives_its_attempt(emulator: Emulator, tag: str, tmp_path: Path):
    """Why every attempt has a process of its own, and leaves it by os._exit."""
    environment = os.environ | emulator.client_env(tag)
    environment |= {
        "PYTHONPATH": str(FAKE),
        "WA_FAKE_NEXT_HOOK": str(HOOK_DIRECTORY / "sitecustomize.py"),
        "WA_FAKE_LINKER": "1",
    }
    await emulator.arm(Fault.QR_CUT, tag=tag, delay=0.5)  # after the QR, not instead of it
    async with Engines(OPTIONS, environment) as engines:
        assert await told(engines, f"abandoned in {tmp_path}") == {
            "happenings": ["QrShown", "Word"],
            "still running": True,
            # But that of a client whose dial failed ends: what warm_up relies on.
            "after a failed dial": ["Over"],
        }
