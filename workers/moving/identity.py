"""A linked device by its credentials: its name, its keys, and everything that can be checked without connecting."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from workers.moving.baileys import BaileysSession, NotImportable, decode
from workers.moving.curve import clamped, is_signed, public_of, typed, untyped
from workers.moving.verdicts import Level, MoveFinding

_JID = re.compile(r"(\d+)(?:[._]\d+)?:(\d+)@s\.whatsapp\.net")
_LID = re.compile(r"(\d+)(?::\d+)?@lid")
#: First bytes of what the phone and the device sign, for ordinary and for hosted accounts (facts of whatsmeow's pair.go).
_ACCOUNT_PREFIX = {False: b"\x06\x00", True: b"\x06\x05"}
_DEVICE_PREFIX = {False: b"\x06\x01", True: b"\x06\x06"}


@dataclass(frozen=True, slots=True)
class KeyPair:
    """Both halves of a key, 32 bytes each."""

    private: bytes
    public: bytes

    @property
    def fits(self) -> bool:
        """True if the halves belong together."""
        return len(self.private) == 32 and public_of(self.private) == self.public


#: Columns of whatsmeow's device table that are fields of a device.
_PAIRS = ("noise_key", "identity_key", "signed_pre_key")
_NUMBERS = ("registration_id", "signed_pre_key_id")
_BYTES = ("signed_pre_key_sig", "adv_key", "adv_details", "adv_account_sig", "adv_account_sig_key", "adv_device_sig")
_TEXTS = ("platform", "push_name")


@dataclass(frozen=True, slots=True)
class ForeignDevice:
    """A device as another client keeps it. `adv_details`: the phone's ADVDeviceIdentity; `linked_at`: its time (s)."""

    number: str
    device: int
    lid_user: str
    registration_id: int
    noise_key: KeyPair
    identity_key: KeyPair
    signed_pre_key: KeyPair
    signed_pre_key_id: int
    signed_pre_key_sig: bytes
    adv_key: bytes
    adv_details: bytes
    adv_account_sig: bytes
    adv_account_sig_key: bytes
    adv_device_sig: bytes
    platform: str
    push_name: str
    linked_at: int
    hosted: bool
    next_prekey: int = 1
    first_unuploaded: int = 1

    @property
    def row(self) -> dict[str, object]:
        """Its row in whatsmeow's device table."""
        pairs = {name: clamped(getattr(self, name).private) for name in _PAIRS}
        plain = {name: getattr(self, name) for name in (*_NUMBERS, *_BYTES, *_TEXTS)}
        return {"jid": self.jid, "lid": self.lid, "business_name": "", **pairs, **plain}

    @property
    def jid(self) -> str:
        """`number:device@s.whatsapp.net`."""
        return f"{self.number}:{self.device}@s.whatsapp.net"

    @property
    def lid(self) -> str:
        """`user:device@lid`, or empty if the old client had not learned it."""
        return f"{self.lid_user}:{self.device}@lid" if self.lid_user else ""


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
    try:
        signed = creds["signedPreKey"]
        signers = creds.get("signalIdentities") or []
        account_key = account.get("accountSignatureKey") or (signers[0]["identifierKey"] if signers else "")
        return ForeignDevice(
            **_named(named, me.get("lid"), decode(account["details"])),
            registration_id=int(creds["registrationId"]),
            noise_key=_pair(creds["noiseKey"]),
            identity_key=_pair(creds["signedIdentityKey"]),
            signed_pre_key=_pair(signed["keyPair"]),
            signed_pre_key_id=int(signed["keyId"]),
            signed_pre_key_sig=decode(signed["signature"]),
            adv_key=decode(creds["advSecretKey"]),
            adv_account_sig=decode(account["accountSignature"]),
            adv_account_sig_key=untyped(decode(account_key)),
            adv_device_sig=decode(account.get("deviceSignature") or ""),
            platform=str(creds.get("platform") or ""),
            push_name=str(me.get("name") or ""),
            next_prekey=int(creds.get("nextPreKeyId") or 1),
            first_unuploaded=int(creds.get("firstUnuploadedPreKeyId") or 1),
        )
    except NotImportable:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        raise NotImportable("creds lack keys that every linked session has") from None


def _signed_itself(one: ForeignDevice) -> bool:
    told = one.adv_details + one.identity_key.public + one.adv_account_sig_key
    prefixes = {_DEVICE_PREFIX[one.hosted], _DEVICE_PREFIX[False]}
    return any(is_signed(one.identity_key.public, prefix + told, one.adv_device_sig) for prefix in prefixes)


#: Conditions that hold of every device, and the meaning of each that does not.
_MUST: tuple[tuple[Callable[[ForeignDevice], bool], str], ...] = (
    (lambda one: one.noise_key.fits, "the halves of the noise key do not belong together"),
    (lambda one: one.identity_key.fits, "the halves of the identity key do not belong together"),
    (lambda one: one.signed_pre_key.fits, "the halves of the signed prekey do not belong together"),
    (
        lambda one: is_signed(one.identity_key.public, typed(one.signed_pre_key.public), one.signed_pre_key_sig),
        "the signed prekey is not signed by the identity key",
    ),
    (
        lambda one: is_signed(
            one.adv_account_sig_key,
            _ACCOUNT_PREFIX[one.hosted] + one.adv_details + one.identity_key.public,
            one.adv_account_sig,
        ),
        "the phone did not sign this identity key: the creds are of two sessions",
    ),
    (_signed_itself, "the device's own signature is missing or wrong"),
)


def inspect(session: BaileysSession) -> tuple[ForeignDevice | None, list[MoveFinding]]:
    """The device of a session, None if its creds cannot be read, and what an operator must know of it."""
    try:
        device = read_device(session.creds)
    except NotImportable as error:
        return None, [MoveFinding(Level.STOP, str(error))]
    findings = [MoveFinding(Level.STOP, text) for holds, text in _MUST if not holds(device)]
    return device, findings + list(_remarks(session, device))


def inspect_row(jid: str, row: Mapping[str, Any]) -> tuple[ForeignDevice | None, list[MoveFinding]]:
    """Identity of a row of whatsmeow's device table, which has private keys only."""
    named = _JID.fullmatch(jid)
    if named is None:
        return None, [MoveFinding(Level.STOP, "its jid names no linked device")]

    try:
        fields = _named(named, row.get("lid"), bytes(row["adv_details"]))
        fields |= {name: KeyPair(bytes(row[name]), public_of(bytes(row[name]))) for name in _PAIRS}
        fields |= {name: int(row[name]) for name in _NUMBERS} | {name: bytes(row[name]) for name in _BYTES}
        fields |= {name: str(row.get(name) or "") for name in _TEXTS}
        device = ForeignDevice(**fields)
    except (KeyError, TypeError, ValueError):
        return None, [MoveFinding(Level.STOP, "its keys are damaged")]
    return device, [MoveFinding(Level.STOP, text) for holds, text in _MUST if not holds(device)]


def _remarks(session: BaileysSession, device: ForeignDevice) -> Iterator[MoveFinding]:
    numbers = [int(name) for name in session.of("pre-key") if name.isdecimal()]
    if not device.lid:
        yield MoveFinding(Level.INFO, "the old client knew no lid; WhatsApp tells it at the first login")
    if not numbers:
        yield MoveFinding(Level.WARN, "no prekeys: first messages that are under way are asked for again")
    elif max(numbers) >= device.next_prekey:
        yield MoveFinding(Level.WARN, "creds are older than the key files: the copy was taken while the old client ran")
    if not session.of("session"):
        yield MoveFinding(Level.WARN, "no sessions of contacts: each contact's first message is asked for again")
    if session.damaged:
        yield MoveFinding(Level.WARN, f"{session.damaged} damaged files are left out")


def _dict(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _pair(value: Mapping[str, object]) -> KeyPair:
    return KeyPair(decode(value["private"]), untyped(decode(value["public"])))


def _named(jid: re.Match[str], lid: object, details: bytes) -> dict[str, Any]:
    """The fields of a device that come of its names and of the phone's ADVDeviceIdentity. Raises ValueError."""
    found, told = _LID.fullmatch(str(lid or "")), _numbers(details)
    names = {"number": jid[1], "device": int(jid[2]), "lid_user": found[1] if found else ""}
    return {**names, "adv_details": details, "linked_at": told.get(2, 0), "hosted": told.get(5) == 1}


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
