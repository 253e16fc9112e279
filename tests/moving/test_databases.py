"""Devices move out of Baileys into Postgres, out of Postgres into files, and out of older tables; and back to Baileys."""

import json
import shutil
import sqlite3
from contextlib import asynccontextmanager, closing

import pytest
from redis.asyncio import Redis

from app.local import redis as local_redis
from tests.e2e.fixtures import folder
from tests.e2e.stack import Stack
from tests.moving.conftest import command_beside, group_of
from tests.moving.test_moving_in import AURORA, LOTUS, WORDS, outcomes, text, verdicts
from tests.postgres.conftest import database, own_postgres, postgres, template
from tests.unit.moving.made import Made
from workers.moving.baileys import BaileysSession, NotImportable
from workers.moving.identity import read_device
from workers.moving.rows import rows_of
from workers.moving.sources import candidates

MADE = Made()
DEVICE = read_device(MADE.creds)
ROWS, _ = rows_of(BaileysSession("salon", MADE.creds, MADE.keys), DEVICE)

__all__ = ["database", "folder", "own_postgres", "postgres", "template"]

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(300)]

#: What a database of whatsmeow's sixth version lacks.
LATER_COLUMNS = ("lid", "lid_migration_ts", "facebook_uuid")
LATER_TABLES = ("lid_map", "event_buffer", "retry_buffer", "nct_salt")


@asynccontextmanager
async def house(emulator, folder, **environment):
    """A service with one worker, and its command."""
    folder.mkdir()
    folder.chmod(0o711)
    (folder / "redis").mkdir()
    with local_redis.running(folder / "redis") as redis:
        async with Stack.running(emulator, redis.url, folder / "data", **environment) as stack:
            yield stack, command_beside(stack)


async def lives(stack, emulator, old, company, number):
    """The company's device writes, and reads what is written to it and to its group, without asking for it again."""
    await text(stack, company, emulator, f"{company} writes from {stack.tag}")
    for to in (number, f"{group_of(number)}@g.us"):
        said = await old.contact.say(to, "hello")
        receipt = await emulator.wait_for(
            "receipt.received", where=lambda event, s=said: event.detail["message_id"] == s
        )
        assert receipt.detail["type"] != "retry", receipt
    assert [event for event in await emulator.events(tag=stack.tag) if event.kind == "client.violation"] == []


def made_old(file):
    """Turns a file of the installed library into one of the sixth version."""
    with closing(sqlite3.connect(file)) as old, old:
        names = {name for (name,) in old.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        for table in LATER_TABLES:
            if f"whatsmeow_{table}" in names:
                old.execute(f"DROP TABLE whatsmeow_{table}")
        there = {row[1] for row in old.execute("PRAGMA table_info(whatsmeow_device)")}
        for column in there & set(LATER_COLUMNS):
            old.execute(f"ALTER TABLE whatsmeow_device DROP COLUMN {column}")
        old.execute("DROP TABLE whatsmeow_version")
        old.execute("CREATE TABLE whatsmeow_version (version INTEGER)")
        old.execute("INSERT INTO whatsmeow_version VALUES (6)")


@pytest.mark.parametrize("apart", ["in files", "in Redis", "nowhere"])
async def test_evolution_keeps_creds_in_a_table_and_keys_elsewhere(apart, postgres, redis_server, tmp_path):
    url = postgres.url(name := await postgres.database())
    await postgres.query('CREATE TABLE "Session" (id text, "sessionId" text, creds text)', database=name)
    await postgres.query('GRANT SELECT ON "Session" TO wa', database=name)
    creds = json.dumps(json.dumps(MADE.creds))
    await postgres.query("""INSERT INTO "Session" VALUES ('1', 'salon', $1)""", creds, database=name)
    keys = {"in files": str(tmp_path), "in Redis": f"{redis_server}?hash=evolution:instance:*", "nowhere": ""}[apart]
    folder = MADE.write(tmp_path / "salon")
    (folder / "creds.json").unlink()
    if apart == "in Redis":
        async with Redis.from_url(redis_server) as redis:
            await redis.hset(
                "evolution:instance:salon", mapping={one.stem: one.read_text() for one in folder.iterdir()}
            )

    async def newest():
        return 15

    (found,) = await candidates(url, newest_schema=newest, keys=keys)
    assert (found.name, found.jid) == ("salon", DEVICE.jid)
    wanted, _ = rows_of(BaileysSession("salon", MADE.creds, MADE.keys if keys else {}), DEVICE)
    rows = found.rows
    assert {table: len(some) for table, some in rows.items()} == {table: len(some) for table, some in wanted.items()}
    assert rows.get("sessions") == wanted.get("sessions")


async def test_a_postgres_of_whatsmeow_is_read_as_old_or_new_as_it_is(postgres, database):
    columns = {
        row[0]
        for row in await postgres.query(
            "SELECT column_name FROM information_schema.columns WHERE table_name = 'whatsmeow_device'",
            database=database,
        )
    }
    row = {**ROWS["device"][0], "facebook_uuid": None, "lid_migration_ts": 0}
    names = [column for column in row if column in columns and column != "facebook_uuid"]
    marks = ", ".join(f"${number}" for number in range(1, len(names) + 1))
    await postgres.query(
        f"INSERT INTO whatsmeow_device ({', '.join(names)}) VALUES ({marks})",
        *(row[name] for name in names),
        database=database,
    )
    for one in ROWS["pre_keys"]:
        await postgres.query(
            "INSERT INTO whatsmeow_pre_keys (jid, key_id, key, uploaded) VALUES ($1, $2, $3, $4)",
            *(one["jid"], one["key_id"], one["key"], one["uploaded"]),
            database=database,
        )

    async def newest():
        return 15

    async def found(version):
        await postgres.query("UPDATE whatsmeow_version SET version = $1", version, database=database)
        return (await candidates(postgres.url(database), newest_schema=newest))[0]

    assert len((await found(15)).rows["pre_keys"]) == len(ROWS["pre_keys"])
    for table in LATER_TABLES:
        await postgres.query(f"DROP TABLE IF EXISTS whatsmeow_{table}", database=database)
    for column in columns & set(LATER_COLUMNS):
        await postgres.query(f"ALTER TABLE whatsmeow_device DROP COLUMN {column}", database=database)
    old = await found(6)
    assert (old.jid, old.stops, old.remarks) == (DEVICE.jid, [], [])
    assert DEVICE.number not in old.label
    with pytest.raises(NotImportable, match="upgrade this service first"):
        await found(99)


async def test_devices_move_through_every_store_and_back(emulator, old, postgres, database, folder, tmp_path):
    phones = await old.links_all({"aurora": AURORA, "lotus": LOTUS})
    before = {name: [one["id"] for one in await phone.devices()] for name, phone in phones.items()}
    url = postgres.url(database)

    async with house(emulator, folder / "one", DATABASE_URL=url) as (stack, command):
        _, lines, said = await command("import", str(old.top), *WORDS)
        assert outcomes(lines) == {"aurora": "held", "lotus": "held"}, said
        for name, number in (("aurora", AURORA), ("lotus", LOTUS)):
            await lives(stack, emulator, old, name, number)
        # A second company does not get the same device.
        (tmp_path / "map.csv").write_text("aurora,somebody-else\n")
        code, lines, _ = await command(
            "import", str(old.top), "--company-map", str(tmp_path / "map.csv"), "--only", "aurora", *WORDS
        )
        assert (code, lines[0]["why"]) == (2, "aurora has this device already")
        await stack.worker.stop()
        code, lines, said = await command(
            *("export", "lotus", "--to", "baileys", "--folder", str(tmp_path / "back"), "--json")
        )
        assert (code, lines[0]["company"], lines[0]["carries"]["group keys"]) == (0, "lotus", 1), said
        assert (await stack.http.get("/api/v1/companies/lotus")).json()["state"] == "unlinked"

    shutil.move(tmp_path / "back", old.top / "lotus-back")
    async with old.client("lotus-back") as client:
        await client.until("open")
        said = await old.contact.say(f"{group_of(LOTUS)}@g.us", "are you back?")
        await client.until("message", id=said, text="are you back?")
        await old.talks(client, LOTUS, "back")

    async with house(emulator, folder / "two") as (stack, command):
        _, lines, _ = await command("import", url, "--dry-run", "--json")
        assert set(verdicts(lines).values()) == {"refused"}
        assert not [number for number in (AURORA, LOTUS) if number in str(lines)]
        ids = {name: ids[0] for name, ids in before.items()}
        rows = (f"{AURORA}:{ids['aurora']}@s.whatsapp.net,aurora", f"{LOTUS}:{ids['lotus']}@s.whatsapp.net,lotus")
        (tmp_path / "jids.csv").write_text("\n".join(rows))
        words = ("--company-map", str(tmp_path / "jids.csv"), "--only", "aurora")
        _, lines, said = await command("import", url, *words, *WORDS)
        assert [line["outcome"] for line in lines if "outcome" in line] == ["held"], said
        await lives(stack, emulator, old, "aurora", AURORA)

    file = folder / "two" / "data" / "devices" / "company_aurora.sqlite3"
    with closing(sqlite3.connect(file)) as settled:
        settled.execute("PRAGMA journal_mode=DELETE")
    made_old(file)
    async with house(emulator, folder / "three") as (stack, command):
        old_file = tmp_path / "main.db"
        shutil.copy(file, old_file)
        old.rests(old_file)
        _, lines, said = await command("import", str(old_file), *words[:2], *WORDS)
        assert [line["outcome"] for line in lines if "outcome" in line] == ["held"], said
        await lives(stack, emulator, old, "aurora", AURORA)
    assert {name: [one["id"] for one in await phone.devices()] for name, phone in phones.items()} == before
