"""A deployment moves from SQLite files to Postgres by a command."""

import asyncio
import os
import re
import shlex
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from shared.core.datum import replace
from shared.core.ids import SessionId, WorkerId
from tests.engine.steps import until
from tests.postgres.conftest import AT, count_rows
from workers.engine.protocol import Held, Hold
from workers.store.device import Fence
from workers.store.postgres.copy import NotADevice, read_file
from workers.store.sqlite import SqliteStore

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "device-store.md"

FIRST, SECOND = SessionId("company_1"), SessionId("company_2")


@pytest.fixture
async def deployment(steps, tmp_path) -> Path:
    """A DATA_DIR with two devices, the second of them parked."""
    store = SqliteStore(tmp_path / "data", WorkerId("w1"))
    links = [await steps.link() for _ in range(2)]
    await store.adopt(FIRST, links[0].database, links[0].jid, AT, Fence(1))
    second = await store.adopt(SECOND, links[1].database, links[1].jid, AT, Fence(1))
    await store.note(replace(second, parked="replaced"), Fence(1))
    store.scratch.close()
    return tmp_path / "data"


def documented(option: str) -> str:
    """The command as docs/device-store.md has it, with this option or with none."""
    (found,) = re.findall(
        rf"^\$ (python -m workers\.store\.move --from \S+ ?{option})$", PAGE.read_text(), re.MULTILINE
    )
    return str(found)


@pytest.fixture
def command(postgres, database, redis_server):
    """Runs the command: its exit code and everything it said."""
    given = {
        "DATABASE_URL": postgres.url(database),
        "REDIS_URL": redis_server,
        "SECRET_KEY": "s" * 32,
        "API_KEYS": "k" * 32,
    }

    def run(folder: Path, option: str = "") -> tuple[int, str]:
        line = shlex.split(documented(option).replace("python", sys.executable, 1).replace(".run/data", str(folder)))
        done = subprocess.run(line, capture_output=True, text=True, cwd=ROOT, env=os.environ | given, timeout=90)
        return done.returncode, done.stdout + done.stderr

    return run


async def test_every_device_is_moved_and_held_from_postgres(deployment, command, store, steps, postgres, database):
    before = await count_rows(postgres, database)
    code, said = await asyncio.to_thread(command, deployment, "--dry-run")
    assert code == 0, said
    assert "2 moved" in said
    assert await count_rows(postgres, database) == before
    assert (deployment / "registry.sqlite3").exists()

    code, said = await asyncio.to_thread(command, deployment)
    assert code == 0, said
    assert "1/2 company_1: moved" in said
    [device] = await store.to_hold()
    assert (device.session, device.linked_at) == (FIRST, AT)
    assert device.phone.removeprefix("+") not in said
    assert await store.holds(device)
    assert await store.device(SECOND) is not None
    async with steps.holder() as holder:
        await holder.send(Hold(session=FIRST, database=device.database, jid=device.jid))
        await until(holder, Held)

    code, said = await asyncio.to_thread(command, deployment)
    assert (code, said.count("has been moved already")) == (2, 1)


async def test_a_device_that_is_in_postgres_already_stays_as_it_is(deployment, command, store, steps):
    with closing(sqlite3.connect(deployment / "registry.sqlite3")) as registry:
        [(jid,)] = registry.execute("SELECT jid FROM devices WHERE session = ?", (FIRST,)).fetchall()
    file = deployment / "devices" / f"{FIRST}.sqlite3"
    await store.adopt(FIRST, str(file), jid, AT + 5, Fence(5))
    newer = await steps.link()
    await store.adopt(SECOND, newer.database, newer.jid, AT + 5, Fence(5))
    code, said = await asyncio.to_thread(command, deployment)
    assert code == 0, said
    assert "company_1: in Postgres already" in said
    assert "company_2: linked anew" in said
    for session in (FIRST, SECOND):
        found = await store.device(session)
        assert found is not None
        assert found.linked_at == AT + 5


async def test_a_broken_file_is_told_and_does_not_stop_the_others(deployment, command, store):
    (deployment / "devices" / f"{FIRST}.sqlite3").unlink()
    code, said = await asyncio.to_thread(command, deployment)
    assert code == 1
    assert "company_1: NOT moved" in said
    assert await store.device(SECOND) is not None
    assert (deployment / "registry.sqlite3").exists()


async def test_nothing_is_moved_while_a_worker_lives(deployment, command, redis_server):
    living = SqliteStore(deployment, WorkerId("w2"))
    code, said = await asyncio.to_thread(command, deployment)
    assert (code, "stop all workers first" in said) == (2, True)
    living.scratch.close()
    from redis.asyncio import Redis

    from shared.state.lease import Leases

    async with Redis.from_url(redis_server) as redis:
        await Leases(redis).acquire(FIRST, WorkerId("w2"))
    code, said = await asyncio.to_thread(command, deployment)
    assert (code, "Sessions are held, by" in said) == (2, True)


async def test_a_file_that_is_open_elsewhere_is_not_moved(deployment, command):
    with closing(sqlite3.connect(deployment / "devices" / f"{FIRST}.sqlite3")) as held:
        held.execute("PRAGMA journal_mode=WAL")
        held.execute("SELECT count(*) FROM whatsmeow_device").fetchall()
        code, said = await asyncio.to_thread(command, deployment)
    assert code == 1
    assert "company_1: NOT moved" in said


def test_two_devices_in_a_file_are_one_too_many(tmp_path):
    path = str(tmp_path / "two")
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("CREATE TABLE whatsmeow_device (jid TEXT)")
        file.execute("INSERT INTO whatsmeow_device VALUES ('1:1@x'), ('1:2@x')")
    with pytest.raises(NotADevice, match="2 devices"):
        read_file(path, "1:1@x")
