"""The way back: a device of ours as a folder that Baileys reads, so that nobody is locked in.

Skipped message keys cannot be written back (see `records`), and app state is fetched anew. All else stays: the device,
its contacts, its groups.
"""

import json
import os
import re
import secrets
from base64 import b64encode
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workers.moving.baileys import CREDS, NotImportable
from workers.moving.curve import public_of, typed
from workers.moving.identity import inspect_row
from workers.moving.records import buffer, from_sender_key, from_session
from workers.moving.rows import Row, Rows

_SENDER = re.compile(r"(.+):(\d+)")


def write_folder(rows: Rows, folder: Path, now: int) -> Counter[str]:
    """Write the device of `rows` as the new `folder`, as of `now` (ms since the epoch). Return the count of each kind.

    Raises NotImportable if its keys do not fit together, and FileExistsError if the folder is there.
    """
    row = rows["device"][0]
    device, findings = inspect_row(str(row["jid"]), row)
    if device is None or findings:
        raise NotImportable("; ".join(one.text for one in findings) or "its keys are damaged")
    new = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    new.mkdir(mode=0o700)
    if folder.exists():
        new.rmdir()
        raise FileExistsError(folder)
    counts: Counter[str] = Counter()
    files: dict[str, object] = {"creds": _creds(rows)}
    for table, kind, name_and_value in _KINDS:
        for one in rows.get(table, []):
            made = name_and_value(one, now)
            if made is not None:
                files |= made
                counts[kind] += 1
    for name, value in files.items():
        path = new / f"{name.replace('/', '__').replace(':', '-')}.json"
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            json.dump(value, file)
    (new / CREDS).stat()  # it is there, or this raises
    new.rename(folder)
    return counts


def _creds(rows: Rows) -> dict[str, Any]:
    row = {name: bytes(value) if isinstance(value, memoryview) else value for name, value in rows["device"][0].items()}
    prekeys = rows.get("pre_keys", [])
    numbers = [int(str(one["key_id"])) for one in prekeys]
    waiting = [int(str(one["key_id"])) for one in prekeys if not one["uploaded"]]
    number, lid = str(row["jid"]), str(row.get("lid") or "")
    account_key = _bytes(row["adv_account_sig_key"])
    return {
        "noiseKey": _pair(row["noise_key"]),
        "pairingEphemeralKeyPair": _pair(secrets.token_bytes(32)),
        "signedIdentityKey": _pair(row["identity_key"]),
        "signedPreKey": {
            "keyPair": _pair(row["signed_pre_key"]),
            "signature": buffer(_bytes(row["signed_pre_key_sig"])),
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
        "me": {"id": number, "name": row.get("push_name") or "~", **({"lid": lid} if lid else {})},
        "signalIdentities": [
            {"identifier": {"name": lid or number, "deviceId": 0}, "identifierKey": buffer(typed(account_key))}
        ],
        "platform": row.get("platform") or "",
    }


def _session(row: Row, now: int) -> dict[str, object] | None:
    try:
        return {f"session-{_address(row['their_id'])}": from_session(_bytes(row["session"]), now)}
    except NotImportable:
        return None


def _sender_key(row: Row, _now: int) -> dict[str, object] | None:
    sender = _SENDER.fullmatch(str(row["sender_id"]))
    if sender is None:
        return None
    try:
        states = from_sender_key(_bytes(row["sender_key"]))
    except NotImportable:
        return None
    # Baileys keeps the record as the bytes of its JSON.
    return {f"sender-key-{row['chat_id']}--{sender[1]}--{sender[2]}": buffer(json.dumps(states).encode())}


def _app_state_key(row: Row, _now: int) -> dict[str, object]:
    value = {"keyData": _text(row["key_data"]), "timestamp": str(row["timestamp"])}
    return {f"app-state-sync-key-{_text(row['key_id'])}": value}


def _token(row: Row, _now: int) -> dict[str, object]:
    value = {"token": buffer(_bytes(row["token"])), "timestamp": str(row["timestamp"])}
    return {f"tctoken-{row['their_jid']}": value}


_KINDS: tuple[tuple[str, str, Callable[[Row, int], dict[str, object] | None]], ...] = (
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


def _address(stored: object) -> str:
    """`123_1:0` as Baileys writes it, `123_1.0`."""
    user, _, device = str(stored).rpartition(":")
    return f"{user}.{device}"


def _pair(private: object) -> dict[str, object]:
    key = _bytes(private)
    return {"private": buffer(key), "public": buffer(public_of(key))}


def _bytes(value: object) -> bytes:
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise NotImportable("a key is no bytes")
    return bytes(value)


def _text(value: object) -> str:
    return b64encode(_bytes(value)).decode()
