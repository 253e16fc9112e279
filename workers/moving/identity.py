"""A linked device by its credentials: its name, its keys, and everything that can be checked without connecting."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from workers.moving.baileys import BaileysSession, NotImportable, decode
from workers.moving.curve import is_signed, public_of, typed, untyped
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


@dataclass(frozen=True, slots=True)
class ForeignDevice:
    """A device as another client keeps it. `details` is the phone's ADVDeviceIdentity, `linked_at` its time in seconds."""

    number: str
    device: int
    lid_user: str
    registration_id: int
    noise: KeyPair
    identity: KeyPair
    signed_prekey: KeyPair
    signed_prekey_id: int
    signed_prekey_signature: bytes
    adv_secret: bytes
    details: bytes
    account_signature: bytes
    account_key: bytes
    device_signature: bytes
    platform: str
    push_name: str
    next_prekey: int
    first_unuploaded: int
    linked_at: int
    hosted: bool

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
        details = decode(account["details"])
        signers = creds.get("signalIdentities") or []
        account_key = account.get("accountSignatureKey") or (signers[0]["identifierKey"] if signers else "")
        told = _numbers(details)
        lid = _LID.fullmatch(str(me.get("lid") or ""))
        return ForeignDevice(
            number=named[1],
            device=int(named[2]),
            lid_user=lid[1] if lid else "",
            registration_id=int(creds["registrationId"]),
            noise=_pair(creds["noiseKey"]),
            identity=_pair(creds["signedIdentityKey"]),
            signed_prekey=_pair(signed["keyPair"]),
            signed_prekey_id=int(signed["keyId"]),
            signed_prekey_signature=decode(signed["signature"]),
            adv_secret=decode(creds["advSecretKey"]),
            details=details,
            account_signature=decode(account["accountSignature"]),
            account_key=untyped(decode(account_key)),
            device_signature=decode(account.get("deviceSignature") or ""),
            platform=str(creds.get("platform") or ""),
            push_name=str(me.get("name") or ""),
            next_prekey=int(creds.get("nextPreKeyId") or 1),
            first_unuploaded=int(creds.get("firstUnuploadedPreKeyId") or 1),
            linked_at=told.get(2, 0),
            hosted=told.get(5) == 1,
        )
    except NotImportable:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        raise NotImportable("creds lack keys that every linked session has") from None


def _signed_itself(one: ForeignDevice) -> bool:
    told = one.details + one.identity.public + one.account_key
    prefixes = {_DEVICE_PREFIX[one.hosted], _DEVICE_PREFIX[False]}
    return any(is_signed(one.identity.public, prefix + told, one.device_signature) for prefix in prefixes)


#: Conditions that hold of every device, and the meaning of each that does not.
_MUST: tuple[tuple[Callable[[ForeignDevice], bool], str], ...] = (
    (lambda one: one.noise.fits, "the halves of the noise key do not belong together"),
    (lambda one: one.identity.fits, "the halves of the identity key do not belong together"),
    (lambda one: one.signed_prekey.fits, "the halves of the signed prekey do not belong together"),
    (
        lambda one: is_signed(one.identity.public, typed(one.signed_prekey.public), one.signed_prekey_signature),
        "the signed prekey is not signed by the identity key",
    ),
    (
        lambda one: is_signed(
            one.account_key,
            _ACCOUNT_PREFIX[one.hosted] + one.details + one.identity.public,
            one.account_signature,
        ),
        "the phone did not sign this identity key: the creds are of two sessions",
    ),
    (_signed_itself, "the device's own signature is missing or wrong"),
)


def inspect(session: BaileysSession) -> tuple[ForeignDevice | None, list[MoveFinding]]:
    """The device of a session and what is to be known of it; no device if its creds cannot be read."""
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

    def pair(column: str) -> KeyPair:
        private = bytes(row[column])
        return KeyPair(private, public_of(private))

    try:
        details = bytes(row["adv_details"])
        told = _numbers(details)
        lid = _LID.fullmatch(str(row.get("lid") or ""))
        device = ForeignDevice(
            number=named[1],
            device=int(named[2]),
            lid_user=lid[1] if lid else "",
            registration_id=int(row["registration_id"]),
            noise=pair("noise_key"),
            identity=pair("identity_key"),
            signed_prekey=pair("signed_pre_key"),
            signed_prekey_id=int(row["signed_pre_key_id"]),
            signed_prekey_signature=bytes(row["signed_pre_key_sig"]),
            adv_secret=bytes(row["adv_key"]),
            details=details,
            account_signature=bytes(row["adv_account_sig"]),
            account_key=bytes(row["adv_account_sig_key"]),
            device_signature=bytes(row["adv_device_sig"]),
            platform=str(row.get("platform") or ""),
            push_name=str(row.get("push_name") or ""),
            next_prekey=1,
            first_unuploaded=1,
            linked_at=told.get(2, 0),
            hosted=told.get(5) == 1,
        )
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


def _numbers(message: bytes) -> dict[int, int]:
    """The number fields of a protobuf message. Raises ValueError if it is none."""
    found: dict[int, int] = {}
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            if at >= len(message) or shift > 63:
                raise ValueError("the message ends early")
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        key = varint()
        if key & 7 == 0:
            found[key >> 3] = varint()
        elif key & 7 == 2:
            at += varint()
        else:
            raise ValueError("the message has a field of an unknown kind")
    return found
