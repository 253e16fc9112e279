"""Copies a device from its SQLite file into the shared tables of Postgres: all of it and its registry row, or nothing.

Every table and column of the file exists in Postgres (`store_tables.py` sees to that); Postgres itself converts the values
(integers to booleans, hexadecimal to bytes), so nothing here knows the library's tables but for three.
"""

import json
import re
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import structlog

from shared.ids import SessionId
from workers.store_connections import Connection

log = structlog.get_logger()

_DEVICE = "whatsmeow_device"
_VERSION = "whatsmeow_version"
_LID_MAP = "whatsmeow_lid_map"
_NAME = re.compile(r"[a-z][a-z0-9_]*")

_CLEAR = """
WITH old AS (SELECT jid FROM wa_devices WHERE session = $1 UNION SELECT $2::text),
     keys AS (DELETE FROM whatsmeow_device WHERE jid IN (SELECT jid FROM old)),
     tokens AS (DELETE FROM whatsmeow_privacy_tokens WHERE our_jid IN (SELECT jid FROM old)),
     others AS (DELETE FROM wa_devices WHERE jid = $2 AND session <> $1 RETURNING session)
SELECT session FROM others
"""
_CLEAR_LIDS = "DELETE FROM whatsmeow_lid_map WHERE lid = ANY($1::text[]) OR pn = ANY($2::text[])"
_REGISTER = """
INSERT INTO wa_devices (session, jid, linked_at, parked) VALUES ($1, $2, $3, $4) ON CONFLICT (session) DO UPDATE
SET jid = excluded.jid, linked_at = excluded.linked_at, parked = excluded.parked
"""


class NotADevice(ValueError):
    """The file does not hold exactly the one device that it should; the text holds no secret."""


@dataclass(frozen=True, slots=True)
class Table:
    """What one table of a device file holds."""

    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]

    def json(self) -> str:
        """An array of objects, as `json_populate_recordset` reads it."""
        return json.dumps([dict(zip(self.columns, (_plain(value) for value in row), strict=True)) for row in self.rows])


@dataclass(frozen=True, slots=True)
class DeviceFile:
    """The contents of a device file: its tables with rows in them."""

    jid: str
    tables: Mapping[str, Table]

    @property
    def rows(self) -> int:
        """In all tables."""
        return sum(len(table.rows) for table in self.tables.values())


def read_file(path: str, jid: str) -> DeviceFile:
    """The device `jid` of the SQLite file. Raises `NotADevice`, and `sqlite3.Error` when it cannot be read."""
    if not Path(path).exists():
        raise NotADevice("the device file is missing")
    with closing(sqlite3.connect(f"{Path(path).absolute().as_uri()}?mode=ro", uri=True, timeout=5)) as file:
        names = [name for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        tables = {name: _read_table(file, name) for name in names if name.startswith("whatsmeow_")}
    tables.pop(_VERSION, None)  # Postgres has its own
    devices = tables.get(_DEVICE)
    if devices is None or len(devices.rows) != 1:
        raise NotADevice(f"the device file holds {len(devices.rows) if devices else 0} devices, not one")
    if dict(zip(devices.columns, devices.rows[0], strict=True))["jid"] != jid:
        raise NotADevice("the device file holds another device than the one that was paired")
    return DeviceFile(jid, {name: table for name, table in tables.items() if table.rows})


async def write(
    connection: Connection, session: SessionId, device: DeviceFile, linked_at: int, *, parked: str = ""
) -> None:
    """Put the device in place of whatever the session had, and register it; within the caller's transaction.

    Two statements, however many rows: the database may be far. Idempotent. A jid that another session has registered is
    taken from it: WhatsApp has just given that name to this device, so the other one is linked no more.
    """
    lids = device.tables.get(_LID_MAP)
    if lids is not None:
        # Number and lid of people, shared by all devices. The newest knowledge holds, as in the library itself.
        lid, pn = (lids.columns.index(name) for name in ("lid", "pn"))
        await connection.execute(_CLEAR_LIDS, [row[lid] for row in lids.rows], [row[pn] for row in lids.rows])
    for (other,) in await connection.fetch(_CLEAR, session, device.jid):
        log.warning("device.taken-over", session=session, other=other)
    names = sorted(device.tables, key=lambda name: name != _DEVICE)
    inserts = ", ".join(
        f"t{number} AS ({_insert(name, device.tables[name], number + 5)})" for number, name in enumerate(names)
    )
    await connection.execute(
        f"WITH {inserts} {_REGISTER}",
        session,
        device.jid,
        linked_at,
        parked,
        *(device.tables[name].json() for name in names),
    )


def _insert(name: str, table: Table, parameter: int) -> str:
    columns = ", ".join(f'"{column}"' for column in table.columns)
    return (
        f'INSERT INTO "{name}" ({columns}) SELECT {columns} '  # noqa: S608 - names are checked, values are parameters
        f'FROM json_populate_recordset(NULL::"{name}", ${parameter}::json)'
    )


def _read_table(file: sqlite3.Connection, name: str) -> Table:
    if not _NAME.fullmatch(name):
        raise NotADevice("the device file has a table with a strange name")
    cursor = file.execute(f'SELECT * FROM "{name}"')  # noqa: S608 - the name is checked
    columns = tuple(column[0] for column in cursor.description)
    if not all(_NAME.fullmatch(column) for column in columns):
        raise NotADevice("the device file has a column with a strange name")
    return Table(columns, tuple(cursor.fetchall()))


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return f"\\x{value.hex()}"
    if isinstance(value, str):
        return value.replace("\0", "")  # which Postgres does not store
    return value
