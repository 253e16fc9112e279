"""Devices of whatsmeow's tables, and sessions of Evolution API, in a Postgres of somebody else."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from workers.engine.devices import PREFIX
from workers.moving.rows import ForeignDatabase, Rows
from workers.store.postgres.connections import Connection, connect, translated
from workers.store.postgres.dsn import server_of

SECONDS = 300.0
"""Limit of one statement: a table is read as a whole."""
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
    async with _connected(url) as (connection, tables):
        sessions = []
        with translated():
            if {"sessionId", "creds"} <= tables.pop("Session", set()):
                sessions = await connection.fetch('SELECT "sessionId", creds FROM "Session" ORDER BY 1')
            found = {table: await connection.fetch(f'SELECT * FROM "{table}"') for table in tables}  # noqa: S608
        rows = {table: [dict(row) for row in some] for table, some in found.items()}
        return ForeignDatabase.of(rows, {str(session): str(creds) for session, creds in sessions if creds})


@asynccontextmanager
async def reading(url: str) -> AsyncIterator[Callable[[str], Awaitable[Rows]]]:
    """Yield what reads the rows of a device of our own store, by its jid: of all devices as they are at one moment.

    Raises `StoreRefused` and `StoreAway`, and so does each reading."""
    async with _connected(url) as (connection, tables):
        owners = {
            table: owner
            for table, columns in tables.items()
            if (owner := next((column for column in ("our_jid", "jid") if column in columns), None))
        }

        async def read(jid: str) -> Rows:
            with translated():
                found = {"lid_map": await connection.fetch(_PEOPLE, jid)}
                for table, owner in owners.items():
                    statement = f'SELECT * FROM "{table}" WHERE {owner} = $1'  # noqa: S608 - whatsmeow's own names
                    found[table.removeprefix(PREFIX)] = await connection.fetch(statement, jid)
            there: Rows = {table: [dict(row) for row in rows] for table, rows in found.items() if rows}
            return there if "device" in there else {}

        with translated():
            await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield read


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[tuple[Connection, dict[str, set[str]]]]:
    """A connection, and the columns of the tables that concern us."""
    with translated():
        connection = await connect(server_of(url), SECONDS)
    try:
        with translated():
            tables = {name: set(columns) for name, columns in await connection.fetch(_COLUMNS)}
        yield connection, tables
    finally:
        await connection.close(timeout=5)
