"""Copies a device from its SQLite file into the shared tables of Postgres: all of it and its registry row, or nothing.

Every table and column of the file exists in Postgres (`tables.py` sees to that); Postgres itself converts the values
(integers to booleans, hexadecimal to bytes), so nothing here knows the library's tables but for three.
"""

import json
import secrets
from pathlib import Path

from workers.engine.devices import read_tables, settle
from workers.store.device import StoredDevice

_DEVICE = "whatsmeow_device"
_VERSION = "whatsmeow_version"
_LID_MAP = "whatsmeow_lid_map"

FENCED = "WA001"
"""The state that Postgres answers when a newer owner of the session is registered."""

# Two first devices of a session wait for each other by the lock on its name; there is no row yet to wait for.
_FENCE = """
SELECT pg_advisory_xact_lock(hashtext({session}));
DO {body}
BEGIN
  PERFORM FROM wa_devices WHERE session = {session} FOR UPDATE;
  IF EXISTS (SELECT FROM wa_devices WHERE session = {session} AND (token > {token} OR token = {token} AND jid <> {jid}))
  THEN RAISE EXCEPTION 'a newer owner is registered' USING ERRCODE = '{fenced}'; END IF;
END {body};
"""
_CLEAR = """
WITH gone AS (DELETE FROM wa_devices WHERE session = {session} RETURNING jid),
     old AS (SELECT jid FROM gone UNION SELECT {jid}::text),
     keys AS (DELETE FROM whatsmeow_device WHERE jid IN (SELECT jid FROM old))
DELETE FROM whatsmeow_privacy_tokens WHERE our_jid IN (SELECT jid FROM old);
"""
_CLEAR_LIDS = """
WITH new AS (SELECT * FROM json_populate_recordset(NULL::whatsmeow_lid_map, {rows}::json))
DELETE FROM whatsmeow_lid_map WHERE lid IN (SELECT lid FROM new) OR pn IN (SELECT pn FROM new);
"""
_INSERT = """
INSERT INTO "{table}" ({columns}) SELECT {columns} FROM json_populate_recordset(NULL::"{table}", {rows}::json);
"""
_REGISTER = """
INSERT INTO wa_devices (session, jid, linked_at, parked, token, again_at, told)
VALUES ({session}, {jid}, {linked_at}, {parked}, {token}, {again_at}, {told});
"""


class NotADevice(ValueError):
    """The file does not hold exactly the one device that it should; the text holds no secret."""


Contents = dict[str, list[dict[str, object]]]
"""The tables of a device file that have rows in them: each row by its columns."""


def read_file(path: str, jid: str) -> Contents:
    """The device `jid` of the SQLite file, which is settled first. Raises `NotADevice`, and `sqlite3.Error` when it cannot be
    read, or somebody has it open."""
    if not Path(path).exists():
        raise NotADevice("the device file is missing")
    settle(path)
    tables = read_tables(path)
    tables.pop(_VERSION, None)  # Postgres has its own
    devices = tables.get(_DEVICE, [])
    if len(devices) != 1:
        raise NotADevice(f"the device file holds {len(devices)} devices, not one")
    if devices[0]["jid"] != jid:
        raise NotADevice("the device file holds another device than the one that was paired")
    return {name: rows for name, rows in tables.items() if rows}


def script(device: StoredDevice, contents: Contents) -> str:
    """Statements that put the device in place of whatever its session had, and register it. Idempotent.

    Send them as one query: that is one round trip and one transaction. They fail with `FENCED` if a newer token is
    registered, and violate the uniqueness of `wa_devices.jid` if another session has the device.
    """
    tag = f"$q{secrets.token_hex(8)}$"  # quotes any text that does not contain it, whatever the server's settings

    def quoted(text: str) -> str:
        return f"{tag}{text}{tag}"

    names = {"session": quoted(device.session), "jid": quoted(device.jid), "token": int(device.token)}
    body = f"$b{secrets.token_hex(8)}$"
    parts = [_FENCE.format(**names, body=body, fenced=FENCED), _CLEAR.format(**names)]
    if lids := contents.get(_LID_MAP):
        # Number and lid of people, shared by all devices. The newest knowledge holds, as in the library itself.
        parts.append(_CLEAR_LIDS.format(rows=quoted(_json(lids))))
    for name in sorted(contents, key=lambda name: name != _DEVICE):
        columns = ", ".join(f'"{column}"' for column in contents[name][0])
        parts.append(_INSERT.format(table=name, columns=columns, rows=quoted(_json(contents[name]))))
    numbers = {name: int(getattr(device, name)) for name in ("linked_at", "again_at", "told")}
    parts.append(_REGISTER.format(**names, **numbers, parked=quoted(device.parked)))
    return "".join(parts)


def _json(rows: list[dict[str, object]]) -> str:
    """An array of objects, as `json_populate_recordset` reads it."""
    return json.dumps([{column: _plain(value) for column, value in row.items()} for row in rows])


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return f"\\x{value.hex()}"
    if isinstance(value, str):
        return value.replace("\0", "")  # which Postgres does not store
    return value
