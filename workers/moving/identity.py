"""A linked device by its credentials: its name, its keys, and everything that can be checked without connecting."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from shared.core.datum import Datum
from workers.moving.baileys import BaileysSession, NotImportable, decode, refusing
from workers.moving.curve import clamped, is_signed, public_of, typed, untyped

_JID = re.compile(r"(\d+)(?:[._]\d+)?:(\d+)@s\.whatsapp\.net")
_LID = re.compile(r"(\d+)(?::\d+)?@lid")
#: First bytes of what the phone and the device sign, for ordinary and for hosted accounts (facts of whatsmeow's pair.go).
_ACCOUNT_PREFIX = {False: b"\x06\x00", True: b"\x06\x05"}
_DEVICE_PREFIX = {False: b"\x06\x01", True: b"\x06\x06"}


Row = Mapping[str, Any]
"""A row of a table of whatsmeow: values by column."""

#: Columns of whatsmeow's device table that every device has, but for its names. Those of pairs have private halves.
_PAIRS = {"noise_key": "noise key", "identity_key": "identity key", "signed_pre_key": "signed prekey"}
_BYTES = ("signed_pre_key_sig", "adv_key", "adv_details", "adv_account_sig", "adv_account_sig_key", "adv_device_sig")
_NUMBERS = ("registration_id", "signed_pre_key_id")


class ForeignDevice(Datum):
    """A device as another client keeps it: its `row` in whatsmeow's device table, and the public halves of its pairs.

    `adv_details` there is the phone's ADVDeviceIdentity; `linked_at`: its time (s). The numbers of prekeys are Baileys'.
    """

    row: Row
    publics: Mapping[str, bytes]
    number: str
    lid_user: str
    linked_at: int
    hosted: bool
    next_prekey: int = 1
    first_unuploaded: int = 1

    @property
    def jid(self) -> str:
        """`number:device@s.whatsapp.net`."""
        return str(self.row["jid"])


def read_device(creds: Mapping[str, Any]) -> ForeignDevice:
    """The device of Baileys' `creds`. Raises NotImportable."""
    me, account = _dict(creds.get("me")), _dict(creds.get("account"))
    if not me.get("id"):
        raise NotImportable("it was never linked (no number in creds)")
    named = _JID.fullmatch(str(me["id"]))
    if named is None:
        raise NotImportable("its number names no linked device (a code that nobody typed?)")
    if not account.get("accountSignature"):
        raise NotImportable("it was never linked to the end (no account in creds)")
    with refusing("creds lack keys that every linked session has"):
        signed = creds["signedPreKey"]
        signers = creds.get("signalIdentities") or []
        account_key = account.get("accountSignatureKey") or (signers[0]["identifierKey"] if signers else "")
        pairs = dict(zip(_PAIRS, (creds["noiseKey"], creds["signedIdentityKey"], signed["keyPair"]), strict=True))
        row = {name: clamped(decode(pair["private"])) for name, pair in pairs.items()} | {
            "registration_id": creds["registrationId"],
            "signed_pre_key_id": signed["keyId"],
            "signed_pre_key_sig": decode(signed["signature"]),
            "adv_key": decode(creds["advSecretKey"]),
            "adv_details": decode(account["details"]),
            "adv_account_sig": decode(account["accountSignature"]),
            "adv_account_sig_key": untyped(decode(account_key)),
            "adv_device_sig": decode(account.get("deviceSignature") or ""),
            "platform": creds.get("platform"),
            "push_name": me.get("name"),
        }
        publics = {name: untyped(decode(pair["public"])) for name, pair in pairs.items()}
        prekeys = (int(creds.get(name) or 1) for name in ("nextPreKeyId", "firstUnuploadedPreKeyId"))
        return _device(named, me.get("lid"), row, publics, *prekeys)


def read_row(jid: str, row: Row) -> ForeignDevice:
    """The device of a row of whatsmeow's device table. Raises NotImportable."""
    named = _JID.fullmatch(jid)
    if named is None:
        raise NotImportable("its jid names no linked device")
    with refusing("its keys are damaged"):
        return _device(named, row.get("lid"), row, {name: public_of(bytes(row[name])) for name in _PAIRS})


def _device(named: re.Match[str], lid: object, row: Row, publics: Mapping[str, bytes], *prekeys: int) -> ForeignDevice:
    """The device of a row that need not hold its names yet. Raises KeyError, TypeError and ValueError."""
    found, told = _LID.fullmatch(str(lid or "")), _numbers(bytes(row["adv_details"]))
    number, lid_user = named[1], found[1] if found else ""
    whole = {
        "jid": f"{number}:{named[2]}@s.whatsapp.net",
        "lid": f"{lid_user}:{named[2]}@lid" if lid_user else "",  # empty if the old client had not learned it
        "business_name": "",
        **{name: bytes(row[name]) for name in (*_PAIRS, *_BYTES)},
        **{name: int(row[name]) for name in _NUMBERS},
        **{name: str(row.get(name) or "") for name in ("platform", "push_name")},
    }
    return ForeignDevice(whole, publics, number, lid_user, told.get(2, 0), told.get(5) == 1, *prekeys)


def faults(device: ForeignDevice) -> list[str]:
    """The reasons for which the keys of a device cannot be its own."""
    row, publics, details = device.row, device.publics, device.row["adv_details"]
    identity, phone = publics["identity_key"], row["adv_account_sig_key"]
    checks = (
        *(
            (public_of(row[name]) == publics[name], f"the halves of the {called} do not belong together")
            for name, called in _PAIRS.items()
        ),
        (
            is_signed(identity, typed(publics["signed_pre_key"]), row["signed_pre_key_sig"]),
            "the signed prekey is not signed by the identity key",
        ),
        (
            is_signed(phone, _ACCOUNT_PREFIX[device.hosted] + details + identity, row["adv_account_sig"]),
            "the phone did not sign this identity key: the creds are of two sessions",
        ),
        (
            any(
                is_signed(identity, _DEVICE_PREFIX[kind] + details + identity + phone, row["adv_device_sig"])
                for kind in {device.hosted, False}
            ),
            "the device's own signature is missing or wrong",
        ),
    )
    return [text for holds, text in checks if not holds]


def remarks(session: BaileysSession, device: ForeignDevice) -> Iterator[str]:
    """Facts that an operator must know of a device that can be taken over."""
    numbers = [int(name) for name in session.of("pre-key") if name.isdecimal()]
    if not device.lid_user:
        yield "the old client knew no lid; WhatsApp tells it at the first login"
    if not numbers:
        yield "no prekeys: first messages that are under way are asked for again"
    elif max(numbers) >= device.next_prekey:
        yield "creds are older than the key files: the copy was taken while the old client ran"
    if not session.of("session"):
        yield "no sessions of contacts: each contact's first message is asked for again"
    if session.damaged:
        yield f"{session.damaged} damaged files are left out"


def _dict(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _numbers(message: bytes) -> dict[int, int]:
    """The number fields of a protobuf message. Raises ValueError if it is none."""
    whole = Empty()
    try:
        whole.ParseFromString(message)
    except DecodeError as error:
        raise ValueError("the message is none of protobuf") from error
    fields = UnknownFieldSet(whole)
    every = (fields[place] for place in range(len(fields)))
    return {field.field_number: field.data for field in every if field.wire_type == 0}
