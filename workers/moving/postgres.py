"""Devices of whatsmeow's tables, and sessions of Evolution API, in a Postgres of somebody else."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from workers.moving.baileys import NotImportable
from workers.moving.rows import Rows
from workers.store.device import StoredDevice
from workers.store.postgres.connections import Connection, connect, translated
from workers.store.postgres.dsn import server_of

_PREFIX = "whatsmeow_"
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


@dataclass(frozen=True, slots=True)
class ForeignDatabase:
    """Contents of a Postgres: the version of whatsmeow's tables, rows by a device's jid, Evolution's `creds` by session."""

    version: int | None = None
    devices: Mapping[str, Rows] = field(default_factory=dict)
    sessions: Mapping[str, str] = field(default_factory=dict)


async def read_all(url: str) -> ForeignDatabase:
    """All that is there. Raises `StoreRefused` and `StoreAway`."""
    async with _reading(url) as (connection, tables):
        sessions = {}
        if {"sessionId", "creds"} <= tables.get("Session", set()):
            found = await connection.fetch('SELECT "sessionId", creds FROM "Session" ORDER BY 1')
            sessions = {str(session): str(creds) for session, creds in found if creds}
        if f"{_PREFIX}version" not in tables:
            return ForeignDatabase(sessions=sessions)
        version = await connection.fetchval(f"SELECT max(version) FROM {_PREFIX}version")  # noqa: S608
        jids = [row[0] for row in await connection.fetch(f"SELECT jid FROM {_PREFIX}device ORDER BY jid")]  # noqa: S608
        return ForeignDatabase(version, {jid: await _rows(connection, tables, jid) for jid in jids}, sessions)


async def read_keys(url: str, jid: str) -> Rows:
    """The rows of one device in a database that need not hold the device itself. Raises `StoreRefused` and `StoreAway`."""
    async with _reading(url) as (connection, tables):
        return await _rows(connection, tables, jid)


async def read_one(url: str, jid: str) -> Rows:
    """One device's rows. Raises NotImportable, `StoreRefused` and `StoreAway`."""
    rows = await read_keys(url, jid)
    if "device" not in rows:
        raise NotImportable("the database does not hold this device")
    return rows


@asynccontextmanager
async def _reading(url: str) -> AsyncIterator[tuple[Connection, Mapping[str, set[str]]]]:
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
            rows = await _rows(connection, tables, device.jid, lids=False)
            if people := await connection.fetch(_PEOPLE, device.jid):
                rows["lid_map"] = [dict(one) for one in people]
            yield device, rows


async def _rows(connection: Connection, tables: Mapping[str, set[str]], jid: str, *, lids: bool = True) -> Rows:
    rows: Rows = {}
    for table, columns in tables.items():
        short = table.removeprefix(_PREFIX)
        owner = next((column for column in ("our_jid", "jid") if column in columns), None)
        if short == "lid_map" and not lids:
            continue
        if short == "lid_map":
            found = await connection.fetch(f'SELECT * FROM "{table}"')  # noqa: S608 - whatsmeow's own names
        elif owner and short not in {"version", "Session"}:
            found = await connection.fetch(f'SELECT * FROM "{table}" WHERE {owner} = $1', jid)  # noqa: S608
        else:
            continue
        if found:
            rows[short] = [dict(row) for row in found]
    return rows
