"""Devices of whatsmeow's tables in a Postgres of somebody else."""

from collections.abc import AsyncGenerator, Mapping

from workers.moving.baileys import NotImportable
from workers.moving.rows import Rows
from workers.store.device import StoredDevice
from workers.store.postgres.connections import Connection, connect, translated
from workers.store.postgres.dsn import server_of

_PREFIX = "whatsmeow_"
_COLUMNS = """
SELECT table_name, array_agg(column_name::text) FROM information_schema.columns
WHERE table_schema = current_schema() AND table_name LIKE 'whatsmeow\\_%' GROUP BY table_name
"""
_PEOPLE = """
WITH known AS MATERIALIZED (
  SELECT split_part(split_part(their_id, ':', 1), '_', 1) AS name FROM whatsmeow_sessions WHERE our_jid = $1
  UNION SELECT split_part(split_part(their_jid, '@', 1), ':', 1) FROM whatsmeow_contacts WHERE our_jid = $1
  UNION SELECT substring($1 FROM '^[0-9]+'))
SELECT * FROM whatsmeow_lid_map WHERE lid IN (SELECT name FROM known) OR pn IN (SELECT name FROM known)
"""
"""Number and lid of the people whom one device knows: all devices share that table."""


async def read_all(url: str) -> tuple[int | None, dict[str, Rows]]:
    """The version of the tables, and every device's rows by its jid. Raises `StoreRefused` and `StoreAway`."""
    connection = await connect(server_of(url).arguments())
    with translated():
        try:
            tables = {name: set(columns) for name, columns in await connection.fetch(_COLUMNS)}
            if f"{_PREFIX}version" not in tables:
                return None, {}
            version = await connection.fetchval(f"SELECT max(version) FROM {_PREFIX}version")  # noqa: S608
            jids = [row[0] for row in await connection.fetch(f"SELECT jid FROM {_PREFIX}device ORDER BY jid")]  # noqa: S608
            return version, {jid: await _rows(connection, tables, jid) for jid in jids}
        finally:
            await connection.close(timeout=5)


async def read_one(url: str, jid: str) -> Rows:
    """One device's rows. Raises NotImportable, `StoreRefused` and `StoreAway`."""
    _, devices = await read_all(url)
    if jid not in devices:
        raise NotImportable("the database does not hold this device")
    return devices[jid]


async def snapshot_of(url: str) -> AsyncGenerator[tuple[StoredDevice, Rows], None]:
    """Every device of our own store, and its rows, all as they are at one moment. Raises `StoreRefused` and `StoreAway`."""
    connection = await connect(server_of(url).arguments())
    with translated():
        try:
            await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            tables = {name: set(columns) for name, columns in await connection.fetch(_COLUMNS)}
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
        finally:
            await connection.close(timeout=5)


async def _rows(connection: Connection, tables: Mapping[str, set[str]], jid: str, *, lids: bool = True) -> Rows:
    rows: Rows = {}
    for table, columns in tables.items():
        short = table.removeprefix(_PREFIX)
        owner = next((column for column in ("our_jid", "jid") if column in columns), None)
        if short == "lid_map" and not lids:
            continue
        if short == "lid_map":
            found = await connection.fetch(f'SELECT * FROM "{table}"')  # noqa: S608 - whatsmeow's own names
        elif owner and short != "version":
            found = await connection.fetch(f'SELECT * FROM "{table}" WHERE {owner} = $1', jid)  # noqa: S608
        else:
            continue
        if found:
            rows[short] = [dict(row) for row in found]
    return rows
