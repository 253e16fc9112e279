"""The registry and the files of linked devices on one host's disk."""

import sqlite3

import pytest

from shared.core.ids import SessionId, WorkerId
from workers.store import scratch as store_scratch
from workers.store.device import StoreAway, StoredDevice
from workers.store.scratch import Scratch, in_use
from workers.store.sqlite import SqliteStore

SESSION = SessionId("company_salon-1")
OLD, NEW = "79001234567:1@s.whatsapp.net", "79001234567:2@s.whatsapp.net"


@pytest.fixture
def store(tmp_path):
    made = SqliteStore(tmp_path, WorkerId("w"))
    yield made
    made.close()


async def adopted(store, attempt, jid, **options) -> StoredDevice:
    """A device as a linker leaves it."""
    scratch = store.scratch(SESSION, attempt)
    with sqlite3.connect(scratch) as file:
        file.execute("CREATE TABLE whatsmeow_device (jid TEXT)")
        file.execute("INSERT INTO whatsmeow_device VALUES (?)", (jid,))
    file.close()
    return await store.adopt(SESSION, scratch, jid, attempt, **options)


async def test_whoever_is_late_neither_parks_nor_forgets_the_next_device_of_the_session(store):
    old = await adopted(store, 1, OLD)
    new = await adopted(store, 2, NEW)
    await store.park(old, "replaced")
    await store.forget(old)
    assert await store.device(SESSION) == new
    assert await store.holds(new)
    assert not await store.holds(old)


async def test_of_a_forgotten_device_nothing_is_left(store, tmp_path):
    device = await adopted(store, 1, OLD)
    await store.park(device, "replaced")
    assert (await store.device(SESSION)).parked == "replaced"
    await store.forget(device)
    await store.forget(device)
    assert await store.device(SESSION) is None
    assert list((tmp_path / "devices").iterdir()) == []


async def test_a_device_that_cannot_be_moved_is_not_registered(store):
    old = await adopted(store, 1, OLD)
    with pytest.raises(FileNotFoundError):
        await store.adopt(SESSION, store.scratch(SESSION, 2), NEW, 2)
    assert await store.device(SESSION) == old


async def test_a_registry_that_cannot_be_read_is_a_store_that_is_away(store, tmp_path):
    device = await adopted(store, 1, OLD)
    for path in tmp_path.glob("registry.sqlite3*"):
        path.write_bytes(b"\0" * 4096)
    for call in (store.device(SESSION), store.forget(device), store.held_by_nobody(lambda _: False)):
        with pytest.raises(StoreAway):
            await call


def test_a_worker_that_starts_beside_another_does_not_take_its_folder_for_a_dead_ones(tmp_path, monkeypatch):
    """Looked at when the other has made its folder, and not yet locked it."""
    lock, others = store_scratch.lock, []

    def looked_at(folder):
        monkeypatch.setattr(store_scratch, "lock", lock)
        others.append(Scratch(tmp_path, WorkerId("beside")))
        return lock(folder)

    monkeypatch.setattr(store_scratch, "lock", looked_at)
    ours = Scratch(tmp_path, WorkerId("ours"))
    assert in_use(tmp_path)
    path = ours.path(SESSION, 1)
    with open(path, "w"):
        pass
    Scratch(tmp_path, WorkerId("later"))
    with open(path):
        pass
    for one in (ours, *others):
        one.close()


async def test_a_device_that_must_not_stay_is_never_offered_to_be_held(store):
    device = await adopted(store, 1, OLD, parked="wrong-number")
    assert device.parked == "wrong-number"
    assert await store.device(SESSION) == device
    assert await store.held_by_nobody(lambda _: False) == []
    welcome = await adopted(store, 2, NEW)
    assert await store.held_by_nobody(lambda _: False) == [welcome]
