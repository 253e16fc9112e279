"""The registry and the files of linked devices on one host's disk.

Registry and files agree or the device is lost, so they are tested in one file.
"""

import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import pytest

from shared.core.clock import now_ms
from shared.core.datum import replace
from shared.core.ids import SessionId, WorkerId
from shared.core.lifecycle import State
from workers.holding.machine import initial
from workers.holding.tenure import TenurePhase
from workers.store import scratch as store_scratch
from workers.store.device import DeviceTaken, Fence, StoreAway, StoredDevice, StoreFenced, Told
from workers.store.scratch import Scratch, in_use
from workers.store.sqlite import SqliteStore

SESSION, OTHER = SessionId("company_salon-1"), SessionId("company_salon-2")
OLD, NEW = "79001234567:1@s.whatsapp.net", "79001234567:2@s.whatsapp.net"


@pytest.fixture
def store(tmp_path):
    made = SqliteStore(tmp_path, WorkerId("w"))
    yield made
    made.scratch.close()


async def adopted(store, attempt, jid, session=SESSION, *, moved=False, **options) -> StoredDevice:
    """A device as a linker leaves it."""
    scratch = store.scratch.path(session, attempt)
    with sqlite3.connect(scratch) as file:
        file.execute("CREATE TABLE whatsmeow_device (jid TEXT)")
        file.execute("INSERT INTO whatsmeow_device VALUES (?)", (jid,))
    file.close()
    if moved:
        return await store.move_in(scratch, StoredDevice(session, jid, attempt, ""), Fence(attempt))
    return await store.adopt(session, scratch, jid, attempt, Fence(attempt), **options)


async def test_a_late_write_neither_parks_nor_forgets_the_sessions_next_device(store):
    old = await adopted(store, 1, OLD)
    new = await adopted(store, 2, NEW)
    for token in (1, 2):  # of the owner before, and of the present one
        for late in (store.note(replace(old, parked="replaced"), Fence(token)), store.forget(old, Fence(token))):
            with suppress(StoreFenced):
                await late
    assert await store.device(SESSION) == new
    assert await store.holds(new)
    assert not await store.holds(old)


async def test_a_device_that_may_be_started_is_deleted_by_the_store_alone(store):
    """The library deletes a device when WhatsApp refuses its login."""
    device = await adopted(store, 1, OLD)
    for _ in range(2):
        assert await store.holds(device)
    with closing(sqlite3.connect(device.database)) as file, file:
        file.execute("DELETE FROM whatsmeow_device")
    assert await store.holds(device)
    await store.forget(device, Fence(1))
    assert not Path(device.database).exists()
    assert not await store.holds(device)


async def test_a_jid_belongs_to_the_session_that_linked_it_last(store, tmp_path):
    await adopted(store, 1, OLD)
    device = await adopted(store, 2, OLD, OTHER)
    assert await store.registered() == [device]
    assert await store.holds(device)
    assert [file.stem for file in (tmp_path / "devices").iterdir()] == [OTHER]


async def test_a_linked_device_that_comes_too_late_takes_the_jid_from_nobody(store):
    first = await adopted(store, 1, OLD, OTHER)
    newer = await adopted(store, 3, NEW)
    with pytest.raises(StoreFenced):
        await adopted(store, 2, OLD)
    assert sorted(await store.registered(), key=lambda one: one.token) == [first, newer]
    assert await store.holds(first)


async def test_a_device_that_moves_in_takes_the_jid_from_nobody(store):
    first = await adopted(store, 1, OLD)
    with pytest.raises(DeviceTaken) as refused:
        await adopted(store, 2, OLD, OTHER, moved=True)
    assert refused.value.session == SESSION
    assert await store.registered() == [first]
    assert await store.holds(first)
    again = await adopted(store, 3, OLD, moved=True)
    assert await store.registered() == [again]


async def test_a_registry_that_names_a_jid_twice_keeps_the_newest_that_is_held(store, tmp_path):
    with closing(sqlite3.connect(tmp_path / "registry.sqlite3")) as registry, registry:
        registry.execute("DROP INDEX devices_jid")
        for session, linked_at, parked in (("a", 1, ""), ("b", 2, ""), ("c", 3, "replaced")):
            row = (f"company_{session}", OLD, linked_at, parked)
            registry.execute("INSERT INTO devices (session, jid, linked_at, parked) VALUES (?, ?, ?, ?)", row)
        registry.execute("INSERT INTO devices (session, jid, linked_at) VALUES ('company_d', ?, 1)", (NEW,))
    SqliteStore(tmp_path, WorkerId("next")).scratch.close()
    assert [device.session for device in await store.registered()] == ["company_b", "company_d"]
    with (
        closing(sqlite3.connect(tmp_path / "registry.sqlite3")) as registry,
        pytest.raises(sqlite3.IntegrityError),
    ):
        registry.execute("INSERT INTO devices (session, jid, linked_at) VALUES ('company_e', ?, 9)", (OLD,))


async def test_the_devices_of_a_phone_are_those_that_are_held_or_tried_again(store):
    device = await adopted(store, 1, OLD)
    await adopted(store, 1, "790012345671:1@s.whatsapp.net", OTHER)
    assert await store.held_as(["+79001234567", "+79990000000"]) == [device]
    await store.note(replace(device, parked="temporarily-banned", again_at=9), Fence(1))
    assert [one.jid for one in await store.held_as(["+79001234567"])] == [OLD]
    await store.note(replace(device, parked="replaced"), Fence(1))
    assert await store.held_as(["+79001234567"]) == []
    assert await store.held_as([]) == []


async def test_of_a_forgotten_device_nothing_is_left(store, tmp_path):
    device = await adopted(store, 1, OLD)
    await store.note(replace(device, parked="replaced"), Fence(1))
    assert (await store.device(SESSION)).parked == "replaced"
    await store.forget(device, Fence(1))
    await store.forget(device, Fence(1))
    assert await store.device(SESSION) is None
    assert list((tmp_path / "devices").iterdir()) == []


async def test_tidying_deletes_secrets_and_cuts_the_log_while_others_have_the_file_open(store):
    device = await adopted(store, 1, OLD)
    with closing(sqlite3.connect(device.database, isolation_level=None)) as held:
        held.execute("PRAGMA journal_mode=WAL")
        held.execute("CREATE TABLE whatsmeow_message_secrets (our_jid TEXT, message_id TEXT, key BLOB)")
        rows = [(OLD, str(number), bytes(200)) for number in range(2500)]
        held.execute("BEGIN")
        held.executemany("INSERT INTO whatsmeow_message_secrets VALUES (?, ?, ?)", rows)
        held.execute("COMMIT")
        log = Path(device.database + "-wal")
        assert log.stat().st_size > 500_000
        assert await store.tidy(device) == 2500
        assert log.stat().st_size == 0
        assert held.execute("SELECT count(*) FROM whatsmeow_message_secrets").fetchone() == (0,)
        assert await store.tidy(device) == 0
    assert await store.holds(device)


async def test_a_device_that_is_gone_is_not_made_anew_by_tidying_it(store, tmp_path):
    device = await adopted(store, 1, OLD)
    await store.forget(device, Fence(1))
    with pytest.raises(StoreAway):
        await store.tidy(device)
    assert list((tmp_path / "devices").iterdir()) == []


async def test_a_device_that_cannot_be_moved_is_not_registered(store):
    old = await adopted(store, 1, OLD)
    with pytest.raises(FileNotFoundError):
        await store.adopt(SESSION, store.scratch.path(SESSION, 2), NEW, 2, Fence(2))
    assert await store.device(SESSION) == old


async def test_a_device_file_that_cannot_be_closed_is_not_registered(store, monkeypatch):
    def full(_database: str) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patched:
        patched.setattr("workers.store.sqlite.settle", full)
        with pytest.raises(StoreAway, match="disk is full"):
            await adopted(store, 1, NEW)
    assert await store.device(SESSION) is None
    assert (await adopted(store, 2, NEW)).jid == NEW


async def test_a_registry_that_cannot_be_read_is_a_store_that_is_away(store, tmp_path):
    device = await adopted(store, 1, OLD)
    for path in tmp_path.glob("registry.sqlite3*"):
        path.write_bytes(b"\0" * 4096)
    for call in (store.device(SESSION), store.forget(device, Fence(1)), store.to_hold()):
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


async def test_a_device_that_must_not_stay_is_offered_to_be_logged_out_alone(store):
    device = await adopted(store, 1, OLD, parked="wrong-number")
    assert device.parked == "wrong-number"
    assert await store.device(SESSION) == device
    assert await store.to_hold() == [device]
    tenure = initial(shown=State.FAILED, fresh=True, parked=device.parked, now=now_ms())
    assert (tenure.phase, tenure.silent) == (TenurePhase.LEAVING, True)
    welcome = await adopted(store, 2, NEW)
    assert await store.to_hold() == [welcome]


async def test_an_attempt_that_wakes_up_late_does_not_replace_the_newer_device(store):
    """The older attempt was stopped between its device's login and this line; another has linked meanwhile."""
    new = await adopted(store, 2, NEW)
    with pytest.raises(StoreFenced) as refused:
        await adopted(store, 1, OLD)
    assert refused.value.newest == 2
    assert await store.device(SESSION) == new
    assert await store.holds(new)


async def test_an_adoption_said_twice_is_done_once_and_another_device_under_its_token_is_refused(store):
    once = await adopted(store, 1, OLD)
    assert await adopted(store, 1, OLD) == once
    with pytest.raises(StoreFenced):
        await adopted(store, 1, NEW)


async def test_a_take_over_names_itself_and_the_older_owner_is_refused_from_then_on(store):
    device = await adopted(store, 1, OLD)
    assert await store.claim(SESSION, Fence(3)) == replace(device, token=3)
    assert await store.overtaken({SESSION: 1}) == [SESSION]
    assert await store.overtaken({SESSION: 3}) == []
    for late in (
        store.note(replace(device, parked="replaced"), Fence(1)),
        store.forget(device, Fence(1)),
        store.claim(SESSION, Fence(2)),
    ):
        with pytest.raises(StoreFenced) as refused:
            await late
        assert refused.value.newest == 3
    assert (await store.device(SESSION)).parked == ""


async def test_a_token_that_the_store_has_seen_claims_nothing(store):
    """A Redis that went back gives a token a second time, to another worker."""
    await adopted(store, 1, OLD)
    with pytest.raises(StoreFenced):
        await store.claim(SESSION, Fence(1))


async def test_nothing_is_claimed_where_there_is_no_device(store):
    assert await store.claim(SESSION, Fence(1)) is None
    assert await store.overtaken({SESSION: 1}) == []


async def test_a_registry_of_an_older_version_is_upgraded_where_it_stands(tmp_path):
    with closing(sqlite3.connect(tmp_path / "registry.sqlite3")) as file, file:
        file.execute(
            "CREATE TABLE devices (session TEXT PRIMARY KEY, jid TEXT NOT NULL, linked_at INTEGER NOT NULL, "
            "parked TEXT NOT NULL DEFAULT '') STRICT"
        )
        file.execute("INSERT INTO devices VALUES (?, ?, 1, 'replaced')", (SESSION, OLD))
    made = [SqliteStore(tmp_path, WorkerId(name)) for name in ("one", "two")]
    found = await made[0].device(SESSION)
    assert (found.jid, found.parked, found.token, found.told) == (OLD, "replaced", 0, Told.VERIFIED)
    assert (await made[1].claim(SESSION, Fence(1))).token == 1
    for one in made:
        one.scratch.close()


async def test_a_parked_device_whose_time_has_come_is_offered_again(store):
    device = await adopted(store, 1, OLD)
    assert device.told is Told.NOTHING
    await store.note(replace(device, parked="banned", again_at=now_ms() + 60_000), Fence(1))
    assert await store.to_hold() == []
    due = replace(device, parked="banned", again_at=now_ms(), told=Told.LINKED)
    await store.note(due, Fence(1))
    assert await store.to_hold() == [due]
    await store.note(replace(device, parked="replaced", again_at=0), Fence(1))
    assert await store.to_hold() == []
