"""The rows of the library's tables that make one device, out of a Baileys session, or out of another database of whatsmeow.

`Rows` is the form in which devices travel here: rows by table (its name without `whatsmeow_`), each of column and value.
"""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from shared.core.datum import Datum, field
from workers.engine.devices import PREFIX
from workers.moving.baileys import DAMAGE, BaileysSession, NotImportable, decode
from workers.moving.curve import clamped, public_of, untyped
from workers.moving.identity import ForeignDevice, Row
from workers.moving.records import to_sender_key, to_session

Rows = dict[str, list[Row]]

_SENDER_KEY = re.compile(r"(.+?)(?:::|--)(.+?)(?:::|--)(\d+)")


class ForeignDatabase(Datum):
    """Contents of a database: the version of whatsmeow's tables (None without them), rows by a device's jid, also of devices
    that the database itself does not hold; Evolution's `creds` by session."""

    version: int | None
    devices: Mapping[str, Rows]
    sessions: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, tables: Mapping[str, Iterable[Row]], sessions: Mapping[str, str] | None = None) -> "ForeignDatabase":
        """Divide whatsmeow's tables by devices, which they name in the column `our_jid` or `jid`. All have the lids."""
        devices: dict[str, Rows] = defaultdict(dict)
        for table, rows in tables.items():
            for row in rows:
                if owner := row.get("our_jid") or row.get("jid"):
                    devices[str(owner)].setdefault(table.removeprefix(PREFIX), []).append(row)
        if lids := list(tables.get(f"{PREFIX}lid_map", [])):
            for of_device in devices.values():
                of_device["lid_map"] = lids
        versions = [int(str(row["version"])) for row in tables.get(f"{PREFIX}version", [])]
        return cls(max(versions, default=None), dict(sorted(devices.items())), sessions or {})


Put = tuple[str, object, Row]
"""A row with its table and the key that stands there once."""


def rows_of(session: BaileysSession, device: ForeignDevice) -> tuple[Rows, Counter[str]]:
    """The rows of the session's device, and the counts of the values of each kind that were kept and left out.

    A damaged value is left out. Of two rows with one key the later one counts.
    """
    tables: dict[str, dict[object, Row]] = defaultdict(dict)
    counts: Counter[str] = Counter()
    puts: list[Put] = [("device", device.jid, device.row)]
    if device.lid_user:
        puts.append(_identity(device, f"{device.lid_user}_1:0", device.row["adv_account_sig_key"]))
    for kind, name, convert in _KINDS:
        for key, value in session.of(kind).items():
            try:
                found = convert(device, key, value)
            except DAMAGE:
                counts[f"damaged {name}"] += 1
            else:
                counts[name] += found is not None
                puts += found or []
    if device.lid_user:
        puts.append(_lid_row(device.number, device.lid_user))
    for table, place, row in puts:
        tables[table][place] = row
    _hold_place(tables["pre_keys"], device)
    # Each lid stands once in the library's table, as each number does.
    tables["lid_map"] = {row["lid"]: row for row in tables["lid_map"].values()}
    return {table: list(rows.values()) for table, rows in tables.items() if rows}, counts


def _hold_place(prekeys: dict[object, Row], device: ForeignDevice) -> None:
    """The library numbers new prekeys from its highest one. If the old client had used that one up, its number would be
    given away twice; a key that nobody has holds the place."""
    last = device.next_prekey - 1
    if max((int(str(number)) for number in prekeys), default=0) < last:
        prekeys[last] = {"jid": device.jid, "key_id": last, "key": clamped(os.urandom(32)), "uploaded": True}


def _prekey(device: ForeignDevice, name: str, value: Any) -> list[Put]:
    number, private = int(name), decode(value["private"])
    if public_of(private) != untyped(decode(value["public"])):
        raise NotImportable("the halves of a prekey do not belong together")
    uploaded = number < device.first_unuploaded
    row = {"jid": device.jid, "key_id": number, "key": clamped(private), "uploaded": uploaded}
    return [("pre_keys", number, row)]


def _identity(device: ForeignDevice, address: str, key: object) -> Put:
    return "identity_keys", address, {"our_jid": device.jid, "their_id": address, "identity": key}


def _session(device: ForeignDevice, name: str, value: Any) -> list[Put]:
    converted = to_session(value, device)
    if converted is None:
        raise NotImportable("the record has no session that can send")
    stored, identity = converted
    address = _address(name)
    row = {"our_jid": device.jid, "their_id": address, "session": stored}
    return [("sessions", address, row), _identity(device, address, identity)]


def _group_key(device: ForeignDevice, name: str, value: Any) -> list[Put]:
    named, stored = _SENDER_KEY.fullmatch(name), to_sender_key(value)
    if named is None or stored is None:
        raise NotImportable("a group's sender key is empty")
    chat, sender = named[1], f"{named[2]}:{named[3]}"
    row = {"our_jid": device.jid, "chat_id": chat, "sender_id": sender, "sender_key": stored}
    return [("sender_keys", (chat, sender), row)]


def _lid(_: ForeignDevice, number: str, lid: Any) -> list[Put]:
    return [] if number.endswith("_reverse") else [_lid_row(_digits(number), _digits(lid))]


def _lid_row(number: str, lid: str) -> Put:
    return "lid_map", number, {"lid": lid, "pn": number}


def _app_state_key(device: ForeignDevice, name: str, value: Any) -> list[Put]:
    """A key of the app state. Its versions are left out, so that the library fetches the state anew."""
    key_id = decode(name)
    row = {
        "jid": device.jid,
        "key_id": key_id,
        "key_data": decode(value["keyData"]),
        "timestamp": int(value.get("timestamp") or 0),
        "fingerprint": _fingerprint(value.get("fingerprint") or {}),
    }
    return [("app_state_sync_keys", key_id, row)]


def _token(device: ForeignDevice, name: str, value: Any) -> list[Put] | None:
    if not isinstance(value, dict) or not value.get("token"):
        return None
    row = {
        "our_jid": device.jid,
        "their_jid": name,
        "token": decode(value["token"]),
        "timestamp": int(value["timestamp"]),
        "sender_timestamp": int(value["senderTimestamp"]) if value.get("senderTimestamp") else None,
    }
    return [("privacy_tokens", name, row)]


#: Kinds of a session's keys, their names for people, and the rows that come of each value. Later rows win.
_KINDS: tuple[tuple[str, str, Callable[[ForeignDevice, str, Any], list[Put] | None]], ...] = (
    ("pre-key", "prekeys", _prekey),
    ("identity-key", "identities", lambda device, name, key: [_identity(device, _address(name), untyped(decode(key)))]),
    ("session", "sessions", _session),
    ("sender-key", "group keys", _group_key),
    ("lid-mapping", "lids", _lid),
    ("app-state-sync-key", "app state keys", _app_state_key),
    ("tctoken", "privacy tokens", _token),
)


def _address(name: str) -> str:
    """Write `123_1.0` (user, domain, device) as the library does, `123_1:0`. Domain 1 is lid, 128 and 129 are hosted."""
    user, dot, device = name.rpartition(".")
    if not dot or not device.isdecimal():
        raise NotImportable("a contact's address is damaged")
    return f"{user}:{device}"


def _digits(value: object) -> str:
    if not isinstance(value, str) or not value.isdecimal():
        raise NotImportable("a number is damaged")
    return value


def _fingerprint(value: Mapping[str, Any]) -> bytes:
    """AppStateSyncKeyFingerprint in protobuf: rawId 1, currentIndex 2, deviceIndexes 3 (packed)."""
    out = b""
    for number, name in ((1, "rawId"), (2, "currentIndex")):
        if value.get(name):
            out += bytes([number << 3]) + _varint(int(value[name]))
    indexes = b"".join(_varint(int(one)) for one in value.get("deviceIndexes") or [])
    return out + (b"\x1a" + _varint(len(indexes)) + indexes if indexes else b"")


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])
