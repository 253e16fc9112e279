"""Devices of whatsmeow's tables, and sessions of Evolution API, in a Postgres of somebody else."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager

from workers.engine.devices import PREFIX
from workers.moving.baileys import NotImportable
from workers.moving.rows import ForeignDatabase, Rows
from workers.store.device import StoredDevice
from workers.store.postgres.connections import Connection, connect, translated
from workers.store.postgres.dsn import server_of

_COLUMNS = """
SELECT table_name, array_agg(column_name::text) FROM information_schema.columns
WHERE table_schema = current_schema() AND (table_name LIKE 'whatsmeow\\_%' OR table_name = 'Session') GROUP BY table_name
"""
_PEOPLE = """
WITH known AS MATERIALIZED (
  SELECT split_part(split_part(their_id, ':', 1), '_', 1) AS name FROM whatsmeow_sessions WHERE our_jid = $1
  UNION SELECT split_part(split_part(their_jid, '@', 1), ':', 1) FROM whatsmeow_contacts WHERE our_jid = $1
  UNION SELECT substring($1 FROM '^[0-9]+'))
SELECT * FROM whatsmeow_lid_map WHERE lid IN (SELECT name FROM known) OR pn IN (SELECT name FROM known)
"""
"""Number and lid of the people whom one device knows: all devices share that table."""


async def read_all(url: str) -> ForeignDatabase:
    """All that is there. Raises `StoreRefused` and `StoreAway`."""
    async with _reading(url) as (connection, tables):
        sessions = []
        if {"sessionId", "creds"} <= tables.pop("Session", set()):
            sessions = await connection.fetch('SELECT "sessionId", creds FROM "Session" ORDER BY 1')
        found = {table: await connection.fetch(f'SELECT * FROM "{table}"') for table in tables}  # noqa: S608
        rows = {table: [dict(row) for row in some] for table, some in found.items()}
        return ForeignDatabase.of(rows, {str(session): str(creds) for session, creds in sessions if creds})


async def read_one(url: str, jid: str) -> Rows:
    """One device's rows of our own store. Raises NotImportable, `StoreRefused` and `StoreAway`."""
    async with _reading(url) as (connection, tables):
        rows = await _rows(connection, tables, jid)
    if "device" not in rows:
        raise NotImportable("the database does not hold this device")
    return rows


@asynccontextmanager
async def _reading(url: str) -> AsyncIterator[tuple[Connection, dict[str, set[str]]]]:
    """A connection, and the columns of the tables that concern us."""
    connection = await connect(server_of(url).arguments())
    with translated():
        try:
            yield connection, {name: set(columns) for name, columns in await connection.fetch(_COLUMNS)}
        finally:
            await connection.close(timeout=5)


async def snapshot_of(url: str) -> AsyncGenerator[tuple[StoredDevice, Rows], None]:
    """Every device of our own store, and its rows, all as they are at one moment. Raises `StoreRefused` and `StoreAway`."""
    async with _reading(url) as (connection, tables):
        await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        devices = await connection.fetch(
            "SELECT session, jid, linked_at, '', parked, token, again_at, told FROM wa_devices "
            "JOIN whatsmeow_device USING (jid) ORDER BY session"
        )
        for row in devices:
            device = StoredDevice(*row)
            yield device, await _rows(connection, tables, device.jid)


async def _rows(connection: Connection, tables: Mapping[str, set[str]], jid: str) -> Rows:
    found = {"lid_map": await connection.fetch(_PEOPLE, jid)}
    for table, columns in tables.items():
        if owner := next((column for column in ("our_jid", "jid") if column in columns), None):
            statement = f'SELECT * FROM "{table}" WHERE {owner} = $1'  # noqa: S608 - whatsmeow's own names
            found[table.removeprefix(PREFIX)] = await connection.fetch(statement, jid)
    return {table: [dict(row) for row in rows] for table, rows in found.items() if rows}
