"""The hand-over: all of a device or nothing, whatever happens in between.

All tests look at the same rows of one hand-over: one file.
"""

import asyncio
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import asyncpg
import pytest

from shared.core.datum import replace
from shared.core.ids import SessionId
from tests.postgres.conftest import AT, count_rows
from tests.waiting import until
from workers.store.device import DeviceTaken, Fence, StoredDevice, StoreFenced
from workers.store.postgres.connections import Connections
from workers.store.postgres.copy import NotADevice, read_file, script
from workers.store.postgres.dsn import server_of
from workers.store.postgres.tables import ensure

FIRST, SECOND = SessionId("company_1"), SessionId("company_2")
PRIVACY = "INSERT INTO whatsmeow_privacy_tokens VALUES ($1, 'somebody@lid', 'x', 1)"

#: What is run and killed: an adopt in a process of its own.
ADOPT = """
import asyncio, sys
from pathlib import Path
from shared.core.ids import SessionId, WorkerId
from workers.store.device import Fence, Way
from workers.store.postgres.connections import Connections
from workers.store.postgres.dsn import server_of
from workers.store.postgres.reach import Reached
from workers.store.postgres.store import PostgresStore
from workers.store.scratch import Scratch

url, folder, path, jid = sys.argv[1:]
async def main():
    way = Reached(Way.DIRECT, Connections(server_of(url)), "", 0.0)
    store = PostgresStore(way, Scratch(Path(folder), WorkerId("w9")))
    await store.adopt(SessionId("company_1"), path, jid, 1, Fence(1))
asyncio.run(main())
"""


def counts(path: str) -> dict[str, int]:
    """Rows of every table of a device file that is not empty."""
    with closing(sqlite3.connect(path)) as file:
        names = [name for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found = {name: file.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in names}
    return {name: rows for name, rows in found.items() if rows and name.startswith("whatsmeow_")}


async def test_every_row_of_the_file_is_in_postgres(steps, store, postgres, database):
    link = await steps.link()
    wanted = counts(link.database)
    assert wanted["whatsmeow_pre_keys"] > 800
    before = await count_rows(postgres, database)
    device = await store.adopt(FIRST, link.database, link.jid, AT, Fence(1))
    assert (device.session, device.jid, device.linked_at) == (FIRST, link.jid, AT)
    found = await count_rows(postgres, database)
    assert found == before | wanted | {"wa_devices": 1}
    with closing(sqlite3.connect(link.database)) as file:
        [(noise, name, number)] = file.execute("SELECT noise_key, push_name, registration_id FROM whatsmeow_device")
        keys = sorted(file.execute("SELECT key_id, key, uploaded FROM whatsmeow_pre_keys"))
    assert await postgres.query(
        "SELECT noise_key, push_name, registration_id FROM whatsmeow_device", database=database
    ) == [(noise, name, number)]
    stored = await postgres.query("SELECT key_id, key, uploaded::int FROM whatsmeow_pre_keys", database=database)
    assert sorted(stored) == keys
    assert await store.device(FIRST) == device
    assert [one.session for one in await store.to_hold()] == [FIRST]


async def test_a_hand_over_done_twice_is_done_once(steps, store, postgres, database):
    link = await steps.link()
    await store.adopt(FIRST, link.database, link.jid, AT, Fence(1))
    once = await count_rows(postgres, database)
    await store.adopt(FIRST, link.database, link.jid, AT, Fence(1))
    assert await count_rows(postgres, database) == once


async def test_a_new_device_replaces_the_old_one_with_all_its_keys(steps, store, postgres, database):
    old, new = await steps.link(), await steps.link()
    older = await store.adopt(FIRST, old.database, old.jid, AT, Fence(1))
    once = await count_rows(postgres, database)
    await postgres.query(PRIVACY, old.jid, database=database)
    await store.note(replace(older, parked="replaced"), Fence(1))
    assert await store.to_hold() == []
    device = await store.adopt(FIRST, new.database, new.jid, AT + 1, Fence(2))
    assert await store.holds(device)
    assert await store.to_hold() == [device]
    found = await count_rows(postgres, database)
    found.pop("whatsmeow_lid_map", None)
    once.pop("whatsmeow_lid_map", None)
    assert found == once
    assert await postgres.query("SELECT jid FROM whatsmeow_device", database=database) == [(new.jid,)]
    for late in (store.note(replace(older, parked="replaced"), Fence(1)), store.forget(older, Fence(1))):
        with pytest.raises(StoreFenced):
            await late
    await store.note(replace(older, parked="replaced"), Fence(2))  # of the same owner, about a device that is gone
    await store.forget(older, Fence(2))
    assert await store.device(FIRST) == device
    assert await store.holds(device)


async def test_a_jid_belongs_to_one_session_only(steps, store, postgres, database):
    link = await steps.link()
    first = await store.adopt(FIRST, link.database, link.jid, AT, Fence(1))
    device = await store.adopt(SECOND, link.database, link.jid, AT, Fence(1))
    assert await store.device(FIRST) is None
    assert await store.holds(device)
    with pytest.raises(asyncpg.UniqueViolationError):
        await postgres.query("INSERT INTO wa_devices VALUES ('company_3', $1, 1)", link.jid, database=database)
    await store.forget(first, Fence(1))
    assert await store.holds(device)
    with pytest.raises(DeviceTaken) as refused:
        await store.move_in(link.database, replace(first, linked_at=AT), Fence(2))
    assert refused.value.session == SECOND
    assert await store.registered() == [device]


async def test_the_devices_of_a_phone_are_those_that_are_held_or_tried_again(steps, store):
    link = await steps.link()
    device = await store.adopt(FIRST, link.database, link.jid, AT, Fence(1))
    assert await store.held_as([device.phone, "+79990000000"]) == [device]
    assert await store.held_as([device.phone[:-1], f"{device.phone}1"]) == []
    await store.note(replace(device, parked="temporarily-banned", again_at=9), Fence(1))
    assert [one.jid for one in await store.held_as([device.phone])] == [link.jid]
    await store.note(replace(device, parked="replaced"), Fence(1))
    assert await store.held_as([device.phone]) == []


async def test_a_file_with_another_device_is_not_taken(steps, store, postgres, database, tmp_path):
    link = await steps.link()
    before = await count_rows(postgres, database)
    for path, jid in (
        (link.database, "79990000000:1@s.whatsapp.net"),
        (str(tmp_path / "missing"), link.jid),
        (__file__, link.jid),
    ):
        with pytest.raises(NotADevice):
            await store.adopt(FIRST, path, jid, AT, Fence(1))
    assert await count_rows(postgres, database) == before


@pytest.mark.parametrize("step", ["whatsmeow_lid_map", "whatsmeow_device", "whatsmeow_pre_keys", "wa_devices"])
@pytest.mark.parametrize("server_too", [True, False], ids=["worker-and-connection-die", "worker-dies"])
async def test_killed_at_any_step_it_leaves_nothing_or_the_whole_device(
    step, server_too, steps, postgres, database, tmp_path
):
    link = await steps.link()
    before = await count_rows(postgres, database)
    blocker = await asyncpg.connect(postgres.url(database, user="boss"))
    transaction = blocker.transaction()
    await transaction.start()
    await blocker.execute(f"LOCK TABLE {step} IN SHARE MODE")
    command = [sys.executable, "-c", ADOPT, postgres.url(database), str(tmp_path), link.database, link.jid]
    with subprocess.Popen(command, cwd=Path(__file__).parents[2]) as process:
        waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = $1"
        [(pid,)] = await until(lambda: postgres.query(waiting, database))
        process.kill()
    if server_too:
        await postgres.query("SELECT pg_terminate_backend($1)", pid)
    await transaction.rollback()
    await blocker.close()
    await until(lambda: ended(postgres, pid))
    # What has reached the server is done there to its end.
    whole = before | counts(link.database) | {"wa_devices": 1}
    assert await count_rows(postgres, database) == (before if server_too else whole)


async def ended(postgres, pid: int) -> bool:
    return not await postgres.query("SELECT FROM pg_stat_activity WHERE pid = $1", pid)


async def test_a_hand_over_waits_for_postgres_to_come_back(steps, store, postgres):
    link = await steps.link()
    await asyncio.to_thread(postgres.stop, signal.SIGQUIT)
    adopting = asyncio.create_task(store.adopt(FIRST, link.database, link.jid, AT, Fence(1)))
    await until(lambda: store.away)
    await asyncio.to_thread(postgres.start)
    assert await store.holds(await adopting)


async def test_orphans_and_sessions_without_keys_are_found_by_the_documented_statements(
    steps, store, postgres, database
):
    text = (Path(__file__).parents[2] / "docs/device-store.md").read_text(encoding="utf-8")
    orphans, keyless = (part.partition("```")[0] for part in text.split("```sql\n")[1:])
    link, other = [await steps.link() for _ in range(2)]
    await store.adopt(FIRST, link.database, link.jid, AT, Fence(1))
    await store.adopt(SECOND, other.database, other.jid, AT, Fence(1))
    assert await postgres.query(orphans, database=database) == []
    assert await postgres.query(keyless, database=database) == []
    await postgres.query(f"DELETE FROM wa_devices WHERE session = '{FIRST}'", database=database)
    assert await postgres.query(orphans, database=database) == [(link.jid,)]
    await postgres.query("TRUNCATE whatsmeow_device CASCADE", database=database)
    assert await postgres.query(keyless, database=database) == [(SECOND,)]


async def test_a_registered_device_goes_only_with_its_row_in_the_registry(steps, store, postgres, database):
    """The library deletes a device when WhatsApp refuses its login."""
    link, next_one = await steps.link(), await steps.link()
    empty = await count_rows(postgres, database)
    device = await store.adopt(FIRST, link.database, link.jid, AT, Fence(1))
    before = await count_rows(postgres, database)
    await postgres.query("DELETE FROM whatsmeow_device", database=database)
    assert await count_rows(postgres, database) == before
    assert await store.holds(device)
    newer = await store.adopt(FIRST, next_one.database, next_one.jid, AT, Fence(2))
    assert await postgres.query("SELECT jid FROM whatsmeow_device", database=database) == [(next_one.jid,)]
    await store.forget(newer, Fence(2))
    await store.forget_strangers()
    assert await count_rows(postgres, database) == empty


def test_a_zero_byte_that_postgres_cannot_store_is_left_out(tmp_path):
    path = str(tmp_path / "device")
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("CREATE TABLE whatsmeow_device (jid TEXT, push_name TEXT, key BLOB, age INTEGER)")
        file.execute("INSERT INTO whatsmeow_device VALUES (?, ?, ?, ?)", ("1:1@x", "a\0b'\\", b"\0\xff", None))
    written = script(StoredDevice(FIRST, "1:1@x", AT, ""), read_file(path, "1:1@x"))
    assert r'[{"jid": "1:1@x", "push_name": "ab' + r"""'\\", "key": "\\x00ff", "age": null}]""" in written


async def test_an_attempt_that_wakes_up_late_changes_nothing_of_the_newer_device(steps, store, postgres, database):
    late, new = await steps.link(), await steps.link()
    device = await store.adopt(FIRST, new.database, new.jid, AT, Fence(2))
    before = await count_rows(postgres, database)
    with pytest.raises(StoreFenced) as refused:
        await store.adopt(FIRST, late.database, late.jid, AT, Fence(1))
    assert refused.value.newest == 2
    assert await count_rows(postgres, database) == before
    assert await store.device(FIRST) == device
    assert await store.holds(device)


async def test_two_first_devices_of_a_session_wait_for_each_other_and_the_newer_stays(steps, store, postgres, database):
    first, second = await steps.link(), await steps.link()
    await asyncio.gather(
        store.adopt(FIRST, first.database, first.jid, AT, Fence(1)),
        store.adopt(FIRST, second.database, second.jid, AT, Fence(2)),
        return_exceptions=True,
    )
    assert (await store.device(FIRST)).jid == second.jid
    assert await postgres.query("SELECT jid FROM whatsmeow_device", database=database) == [(second.jid,)]


async def test_a_take_over_is_named_in_the_store_and_older_owners_are_refused(steps, store):
    link = await steps.link()
    device = await store.adopt(FIRST, link.database, link.jid, AT, Fence(1))
    claimed = await store.claim(FIRST, Fence(3))
    assert claimed is not None
    assert claimed.token == 3
    assert await store.claim(SECOND, Fence(3)) is None
    assert await store.overtaken({FIRST: 1, SECOND: 1}) == [FIRST]
    assert await store.overtaken({FIRST: 3}) == []
    for late in (
        store.note(replace(device, parked="replaced"), Fence(1)),
        store.forget(device, Fence(2)),
        store.claim(FIRST, Fence(3)),
    ):
        with pytest.raises(StoreFenced) as refused:
            await late
        assert refused.value.newest == 3
    assert await store.holds(claimed)


async def test_a_hand_over_is_not_tried_again_by_a_worker_that_has_lost_its_lease(steps, store, postgres):
    link = await steps.link()
    await asyncio.to_thread(postgres.stop, signal.SIGQUIT)
    stands = True
    adopting = asyncio.create_task(store.adopt(FIRST, link.database, link.jid, AT, Fence(1, lambda: stands)))
    await until(lambda: store.away)
    stands = False
    with pytest.raises(StoreFenced):
        await adopting


async def test_a_registry_of_an_older_version_is_upgraded_where_it_stands(steps, store, postgres, database):
    link = await steps.link()
    await store.adopt(FIRST, link.database, link.jid, AT, Fence(1))
    await postgres.query("ALTER TABLE wa_devices DROP COLUMN token", database=database)
    server = server_of(postgres.url(database))
    connections = Connections(server)
    try:
        await asyncio.gather(*(ensure(connections, "") for _ in range(3)))
    finally:
        await connections.aclose()
    assert (await store.device(FIRST)).token == 0
