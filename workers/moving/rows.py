"""The rows of the library's tables that make one device, out of a Baileys session.

`Rows` is the form in which devices travel here: rows by table (its name without `whatsmeow_`), each of column and value.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from workers.moving.baileys import BaileysSession, NotImportable, decode
from workers.moving.curve import clamped, public_of, untyped
from workers.moving.identity import ForeignDevice
from workers.moving.records import to_sender_key, to_session

Row = Mapping[str, object]
Rows = dict[str, list[Row]]

_SENDER_KEY = re.compile(r"(.+?)(?:::|--)(.+?)(?:::|--)(\d+)")
_DAMAGE = (NotImportable, ValueError, KeyError, TypeError, AttributeError)


class _Tables:
    """Rows by table and key, the later of two with one key; and counts of the values that were kept and left out."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[object, Row]] = {}
        self.counts: Counter[str] = Counter()

    def put(self, table: str, key: object, /, **columns: object) -> None:
        self._rows.setdefault(table, {})[key] = columns

    @contextmanager
    def record(self, kind: str) -> Iterator[None]:
        """Take one value of the old store. A damaged one is counted and left out."""
        try:
            yield
            self.counts[kind] += 1
        except _DAMAGE:
            self.counts[f"damaged {kind}"] += 1

    def rows(self) -> Rows:
        return {table: list(rows.values()) for table, rows in self._rows.items()}


def rows_of(session: BaileysSession, device: ForeignDevice) -> tuple[Rows, Counter[str]]:
    """The rows of the session's device, and the counts of the values of each kind that were kept and left out."""
    tables = _Tables()
    tables.put("device", device.jid, **device.row)
    for convert in (_put_prekeys, _put_contacts, _put_groups, _put_numbers, _put_app_state, _put_tokens):
        convert(tables, session, device)
    return tables.rows(), tables.counts


def _put_prekeys(tables: _Tables, session: BaileysSession, device: ForeignDevice) -> None:
    highest = 0
    for name, value in session.of("pre-key").items():
        with tables.record("prekeys"):
            number, private = int(name), decode(value["private"])
            if public_of(private) != untyped(decode(value["public"])):
                raise NotImportable("the halves of a prekey do not belong together")
            uploaded = number < device.first_unuploaded
            tables.put("pre_keys", number, jid=device.jid, key_id=number, key=clamped(private), uploaded=uploaded)
            highest = max(highest, number)
    # The library numbers new prekeys from its highest one. If the old client had used that one up, its number would be
    # given away twice; a key that nobody has holds the place.
    if highest < (last := device.next_prekey - 1):
        tables.put("pre_keys", last, jid=device.jid, key_id=last, key=clamped(os.urandom(32)), uploaded=True)


def _put_contacts(tables: _Tables, session: BaileysSession, device: ForeignDevice) -> None:
    if device.lid_user:
        _put_identity(tables, device, f"{device.lid_user}_1:0", device.adv_account_sig_key)
    for name, value in session.of("identity-key").items():
        with tables.record("identities"):
            _put_identity(tables, device, _address(name), untyped(decode(value)))
    for name, value in session.of("session").items():
        with tables.record("sessions"):
            converted = to_session(value, device)
            if converted is None:
                raise NotImportable("the record has no session that can send")
            stored, identity = converted
            tables.put("sessions", _address(name), our_jid=device.jid, their_id=_address(name), session=stored)
            _put_identity(tables, device, _address(name), identity)


def _put_identity(tables: _Tables, device: ForeignDevice, address: str, key: bytes) -> None:
    tables.put("identity_keys", address, our_jid=device.jid, their_id=address, identity=key)


def _put_groups(tables: _Tables, session: BaileysSession, device: ForeignDevice) -> None:
    for name, value in session.of("sender-key").items():
        with tables.record("group keys"):
            named = _SENDER_KEY.fullmatch(name)
            stored = to_sender_key(value)
            if named is None or stored is None:
                raise NotImportable("a group's sender key is empty")
            chat, sender = named[1], f"{named[2]}:{named[3]}"
            tables.put(
                "sender_keys", (chat, sender), our_jid=device.jid, chat_id=chat, sender_id=sender, sender_key=stored
            )


def _put_numbers(tables: _Tables, session: BaileysSession, device: ForeignDevice) -> None:
    """Put the lids of numbers. Each lid and each number stands once in the library's table."""
    known = {}
    for number, lid in session.of("lid-mapping").items():
        with tables.record("lids"):
            if not number.endswith("_reverse"):
                known[_digits(number)] = _digits(lid)
    if device.lid_user:
        known[device.number] = device.lid_user
    for number, lid in {lid: number for number, lid in known.items()}.items():
        tables.put("lid_map", lid, lid=number, pn=lid)


def _put_app_state(tables: _Tables, session: BaileysSession, device: ForeignDevice) -> None:
    """Put the keys of the app state. Its versions are left out, so that the library fetches the state anew."""
    for name, value in session.of("app-state-sync-key").items():
        with tables.record("app state keys"):
            key_id = decode(name)
            tables.put(
                "app_state_sync_keys",
                key_id,
                jid=device.jid,
                key_id=key_id,
                key_data=decode(value["keyData"]),
                timestamp=int(value.get("timestamp") or 0),
                fingerprint=_fingerprint(value.get("fingerprint") or {}),
            )


def _put_tokens(tables: _Tables, session: BaileysSession, device: ForeignDevice) -> None:
    for name, value in session.of("tctoken").items():
        if not isinstance(value, dict) or not value.get("token"):
            continue
        with tables.record("privacy tokens"):
            tables.put(
                "privacy_tokens",
                name,
                our_jid=device.jid,
                their_jid=name,
                token=decode(value["token"]),
                timestamp=int(value["timestamp"]),
                sender_timestamp=int(value["senderTimestamp"]) if value.get("senderTimestamp") else None,
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
    for field, name in ((1, "rawId"), (2, "currentIndex")):
        if value.get(name):
            out += bytes([field << 3]) + _varint(int(value[name]))
    indexes = b"".join(_varint(int(one)) for one in value.get("deviceIndexes") or [])
    return out + (b"\x1a" + _varint(len(indexes)) + indexes if indexes else b"")


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])
