"""The device that a company had before it links anew: logged out, so that its phone does not list it for ever."""

from types import SimpleNamespace
from typing import Any

import pytest

from shared.core.ids import SessionId
from workers.linking.attempt import Attempt
from workers.store.device import EXPORTED, StoreAway, StoredDevice

SESSION, OLD, NEW = SessionId("company_salon"), "79001234567:1@s.whatsapp.net", "79001234567:2@s.whatsapp.net"


class Store:
    """One device, or a fault."""

    def __init__(self, found: StoredDevice | Exception | None, *, holds: bool) -> None:
        self._found, self._holds = found, holds

    async def device(self, _: SessionId) -> StoredDevice | None:
        if isinstance(self._found, Exception):
            raise self._found
        return self._found

    async def holds(self, _: StoredDevice) -> bool:
        return self._holds


def device(parked: str = "", jid: str = OLD) -> StoredDevice:
    return StoredDevice(SESSION, jid, 1, "/nowhere", parked)


@pytest.mark.parametrize(
    ("found", "holds", "logged_out"),
    [
        (device(), True, True),
        (device("replaced"), True, True),
        (device("replaced"), False, False),
        (device(EXPORTED), True, False),
        (device(jid=NEW), True, False),
        (None, True, False),
        (StoreAway("away"), True, False),
    ],
    ids=["held", "replaced", "without keys", "exported", "itself", "none", "store away"],
)
async def test_which_old_device_is_logged_out(found, holds, logged_out):
    asked = []

    async def refuse(lease: object, old: StoredDevice, _seconds: float) -> None:
        asked.append((lease, old))

    attempt: Any = object.__new__(Attempt)
    attempt._session, attempt._page = SESSION, SimpleNamespace(lease="ours")
    attempt._parts = SimpleNamespace(store=Store(found, holds=holds), refuse=refuse)
    await attempt._log_old_out(NEW)
    assert asked == ([("ours", found)] if logged_out else [])
