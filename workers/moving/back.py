"""The way back: a device of ours as a folder that Baileys reads, so that nobody is locked in.

Skipped message keys cannot be written back (see `records`), and app state is fetched anew. All else stays: the device,
its contacts, its groups.
"""

import json
import os
import secrets
from base64 import b64encode
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from workers.moving.baileys import NotImportable
from workers.moving.curve import public_of, typed
from workers.moving.identity import Row, faults, read_row
from workers.moving.records import buffer, from_sender_key, from_session
from workers.moving.rows import Rows


def write_folder(rows: Rows, folder: Path, now: int) -> Counter[str]:
    """Write the device of `rows` as the new `folder`, as of `now` (ms since the epoch). Return the count of each kind.

    Raises NotImportable if its keys do not fit together, and FileExistsError if the folder is there.
    """
    device = read_row(str(rows["device"][0]["jid"]), rows["device"][0])
    if stops := faults(device):
        raise NotImportable("; ".join(stops))
    new = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    new.mkdir(mode=0o700)
    if folder.exists():
        new.rmdir()
        raise FileExistsError(folder)
    counts: Counter[str] = Counter()
    files: dict[str, object] = {"creds": _creds(device.row, rows.get("pre_keys", []))}
    for table, kind, name_and_value in _KINDS:
        for one in rows.get(table, []):
            with suppress(NotImportable):
                files |= name_and_value(one, now)
                counts[kind] += 1
    for name, value in files.items():
        path = new / f"{name.replace('/', '__').replace(':', '-')}.json"
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            json.dump(value, file)
    new.rename(folder)
    return counts


def _creds(row: Row, prekeys: list[Row]) -> dict[str, Any]:
    numbers = [int(str(one["key_id"])) for one in prekeys]
    waiting = [int(str(one["key_id"])) for one in prekeys if not one["uploaded"]]
    number, lid, account_key = row["jid"], row["lid"], row["adv_account_sig_key"]
    return {
        "noiseKey": _pair(row["noise_key"]),
        "pairingEphemeralKeyPair": _pair(secrets.token_bytes(32)),
        "signedIdentityKey": _pair(row["identity_key"]),
        "signedPreKey": {
            "keyPair": _pair(row["signed_pre_key"]),
            "signature": buffer(row["signed_pre_key_sig"]),
            "keyId": row["signed_pre_key_id"],
        },
        "registrationId": row["registration_id"],
        "advSecretKey": _text(row["adv_key"]),
        "processedHistoryMessages": [],
        "nextPreKeyId": max(numbers, default=0) + 1,
        "firstUnuploadedPreKeyId": min(waiting, default=max(numbers, default=0) + 1),
        "accountSyncCounter": 0,
        "accountSettings": {"unarchiveChats": False},
        "registered": False,
        "account": {
            "details": _text(row["adv_details"]),
            "accountSignatureKey": _text(account_key),
            "accountSignature": _text(row["adv_account_sig"]),
            "deviceSignature": _text(row["adv_device_sig"]),
        },
        "me": {"id": number, "name": row["push_name"] or "~", **({"lid": lid} if lid else {})},
        "signalIdentities": [
            {"identifier": {"name": lid or number, "deviceId": 0}, "identifierKey": buffer(typed(account_key))}
        ],
        "platform": row["platform"],
    }


def _session(row: Row, now: int) -> dict[str, object]:
    # `123_1:0` is `123_1.0` in Baileys.
    user, _, device = str(row["their_id"]).rpartition(":")
    return {f"session-{user}.{device}": from_session(_bytes(row["session"]), now)}


def _sender_key(row: Row, _now: int) -> dict[str, object]:
    sender, colon, device = str(row["sender_id"]).rpartition(":")
    if not colon:
        raise NotImportable("a group's sender is damaged")
    # Baileys keeps the record as the bytes of its JSON.
    states = json.dumps(from_sender_key(_bytes(row["sender_key"]))).encode()
    return {f"sender-key-{row['chat_id']}--{sender}--{device}": buffer(states)}


def _app_state_key(row: Row, _now: int) -> dict[str, object]:
    value = {"keyData": _text(row["key_data"]), "timestamp": str(row["timestamp"])}
    return {f"app-state-sync-key-{_text(row['key_id'])}": value}


def _token(row: Row, _now: int) -> dict[str, object]:
    value = {"token": buffer(_bytes(row["token"])), "timestamp": str(row["timestamp"])}
    return {f"tctoken-{row['their_jid']}": value}


_KINDS: tuple[tuple[str, str, Callable[[Row, int], dict[str, object]]], ...] = (
    ("pre_keys", "prekeys", lambda row, _: {f"pre-key-{row['key_id']}": _pair(row["key"])}),
    ("sessions", "sessions", _session),
    ("sender_keys", "group keys", _sender_key),
    ("app_state_sync_keys", "app state keys", _app_state_key),
    (
        "lid_map",
        "lids",
        lambda row, _: {f"lid-mapping-{row['pn']}": row["lid"], f"lid-mapping-{row['lid']}_reverse": row["pn"]},
    ),
    ("privacy_tokens", "privacy tokens", _token),
)


def _pair(private: object) -> dict[str, object]:
    key = _bytes(private)
    return {"private": buffer(key), "public": buffer(public_of(key))}


def _bytes(value: object) -> bytes:
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise NotImportable("a key is no bytes")
    return bytes(value)


def _text(value: object) -> str:
    return b64encode(_bytes(value)).decode()
