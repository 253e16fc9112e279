"""The tables in Postgres: the library's and our registry, made alone under a lock, and anew after an upgrade of the library.

All lie in the one schema that the role writes to by default. The library looks for its tables by name in all schemas, so
a second copy of them anywhere in the database would confuse it.
"""

import asyncio
import importlib.metadata
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import asyncpg

from shared.log import log
from workers.engine.devices import columns_of, pairing_name
from workers.engine.making import MAKING_SECONDS, make_tables
from workers.store.device import StoreAway, StoreRefused
from workers.store.postgres.connections import Connection, Connections

#: The name of the lock among the database's advisory locks.
LOCK = 0x77_61_64_65_76

_READY = "SELECT EXISTS (SELECT FROM wa_schema WHERE library = $1)"
_TABLES = """
SELECT (SELECT count(*) FROM unnest(ARRAY['wa_schema', 'wa_devices', 'whatsmeow_device', 'whatsmeow_version']) AS name
        WHERE to_regclass(name) IS NOT NULL) = 4
"""
_OURS = """
SELECT (SELECT count(*) FROM pg_attribute WHERE attrelid = to_regclass('wa_devices') AND NOT attisdropped
        AND attname IN ('token', 'again_at', 'told')) = 3
       AND EXISTS (SELECT FROM pg_trigger WHERE tgrelid = to_regclass('whatsmeow_device') AND tgname = 'wa_guard')
"""
#: When WhatsApp refuses a login the library deletes the device. Some refusals end, so only the worker decides: a device
#: goes after its row in the registry.
_GUARD = """
CREATE OR REPLACE FUNCTION wa_guard() RETURNS trigger LANGUAGE plpgsql AS $guard$
BEGIN
  IF EXISTS (SELECT FROM wa_devices WHERE jid = OLD.jid) THEN RETURN NULL; END IF;
  RETURN OLD;
END $guard$;
DO $make$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = 'whatsmeow_device'::regclass AND tgname = 'wa_guard') THEN
    CREATE TRIGGER wa_guard BEFORE DELETE ON whatsmeow_device FOR EACH ROW EXECUTE FUNCTION wa_guard();
  END IF;
END $make$;
"""
_OUR_TABLES = """
CREATE TABLE IF NOT EXISTS wa_devices (
    session   text PRIMARY KEY,
    jid       text NOT NULL UNIQUE,
    linked_at bigint NOT NULL,          -- ms since the epoch
    parked    text NOT NULL DEFAULT ''  -- why it is not to be held: its keys are in use elsewhere, say
);
-- Columns that the first version did not make: the newest fencing token under which anybody has written; when a parked
-- device is tried again (ms since the epoch; 0 for never); what the integrator has heard of it (0 nothing, 1 linked, 2 verified).
ALTER TABLE wa_devices ADD COLUMN IF NOT EXISTS token bigint NOT NULL DEFAULT 0;
ALTER TABLE wa_devices ADD COLUMN IF NOT EXISTS again_at bigint NOT NULL DEFAULT 0;
ALTER TABLE wa_devices ADD COLUMN IF NOT EXISTS told smallint NOT NULL DEFAULT 2;
CREATE TABLE IF NOT EXISTS wa_schema (
    library text PRIMARY KEY,           -- a version of the library for which the tables were made
    version integer NOT NULL,           -- what the library calls them
    made_at timestamptz NOT NULL DEFAULT now()
)
"""


async def ensure(connections: Connections, dsn: str) -> None:
    """See that all tables exist as the installed library wants them; returns at once if so. `dsn` is the library's.

    Any number of workers may call it at once. Raises `StoreAway`, and `StoreRefused` when the role may not make tables.
    """
    library = importlib.metadata.version("neonize")

    async def made(connection: Connection) -> bool:
        return bool(await connection.fetchval(_TABLES) and await connection.fetchval(_READY, library))

    async def ready(connection: Connection) -> bool:
        return bool(await made(connection) and await connection.fetchval(_OURS))

    async def make(connection: Connection) -> None:
        # Held by the transaction: a pooler may give each transaction another connection.
        await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK, timeout=2 * MAKING_SECONDS)
        if await ready(connection):
            return
        # We are idle in it while the library works, which some hosts do not like.
        await connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        await connection.execute(_OUR_TABLES)
        if not await made(connection):
            version = await _by_the_library(connection, dsn)
            await connection.execute(
                "INSERT INTO wa_schema (library, version) VALUES ($1, $2) ON CONFLICT DO NOTHING", library, version
            )
            log.info("store.tables-made", library=library, version=version)
        await connection.execute(_GUARD)  # after the library: it may have to change its table

    try:
        if not await connections.run(ready):
            await connections.run(make)
    except asyncpg.InsufficientPrivilegeError as error:
        raise StoreRefused("names a role that may not create tables in its database") from error


async def _by_the_library(connection: Connection, dsn: str) -> int:
    """Have the library make its tables; their version. Raises `StoreAway` if something is missing afterwards."""
    with tempfile.TemporaryDirectory(prefix="wa-tables-") as folder:
        file = str(Path(folder, "wanted.sqlite3"))
        said = await make_tables(pairing_name(file), dsn)
        wanted, version = await asyncio.to_thread(_columns, file)
    found = {
        (table, column)
        for table, column in await connection.fetch(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = current_schema()"
        )
    }
    if missing := sorted(wanted - found):
        raise StoreAway(f"the library did not make its tables: {missing[0]} is missing; it says: {said}")
    made = await connection.fetchval("SELECT max(version) FROM whatsmeow_version")
    if made is None or made < version:
        raise StoreAway(f"the tables are of version {made}, the library wants {version}; it says: {said}")
    return int(made)


def _columns(file: str) -> tuple[set[tuple[str, str]], int]:
    """Table and column names of the file, and the version."""
    with closing(sqlite3.connect(file)) as made:
        if not (columns := columns_of(made)):
            raise StoreAway("the library did not make its tables in a file of its own either")
        return columns, int(made.execute("SELECT max(version) FROM whatsmeow_version").fetchone()[0])
