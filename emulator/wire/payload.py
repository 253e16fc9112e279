"""A client's word about itself inside the handshake (ClientPayload), checked strictly.

Field numbers: whatsmeow proto/waWa6 and proto/waCompanionReg.
"""

from __future__ import annotations

from dataclasses import dataclass

from emulator.wire import protobuf as wire
from emulator.wire.keys import verify

KEY_TYPE = b"\x05"
"""The byte that marks a Curve25519 key (libsignal's "Djb")."""
_WEB = 14


class BadPayload(ValueError):
    """The payload breaks a rule; the text says which."""


@dataclass(frozen=True, slots=True)
class HistoryWish:
    """Amount of the chats' past that the client wants from the phone; 0 if it does not say."""

    full_days: int
    full_mb: int
    recent_days: int
    messages_a_chat: int


@dataclass(frozen=True, slots=True)
class Registration:
    """An unlinked client: its keys (32 bytes each, the signed prekey checked) and how it wants to be called on the phone."""

    identity_key: bytes
    registration_id: int
    os: str
    platform: int
    version: str
    full_sync: bool
    history: HistoryWish

    @property
    def revision(self) -> int:
        """The last part of the version."""
        return int(self.version.rpartition(".")[2])


@dataclass(frozen=True, slots=True)
class Login:
    """A linked client: which account and device it claims to be. The Noise static key proves it."""

    number: str
    device: int
    revision: int


def parse(data: bytes) -> Registration | Login:
    """Raises BadPayload."""
    try:
        payload = wire.Message(data)
        agent = payload.message(5)
        version = agent.message(2)
    except wire.MalformedMessage as error:
        raise BadPayload(f"the client payload is no message: {error}") from error
    if agent.number(1) != _WEB:
        raise BadPayload(f"platform {agent.number(1)} is not WEB")
    if payload.has(1):
        return Login(str(payload.number(1)), payload.number(18), version.number(3))
    if not payload.has(19):
        raise BadPayload("neither a user name nor pairing data")
    return _registration(payload.message(19), ".".join(str(version.number(i)) for i in (1, 2, 3)))


def _registration(pairing: wire.Message, version: str) -> Registration:
    lengths = {1: 4, 2: 1, 3: 32, 4: 3, 5: 32, 6: 64, 7: 16}
    for number, length in lengths.items():
        if len(pairing.data(number)) != length:
            raise BadPayload(f"pairing data field {number} has {len(pairing.data(number))} bytes, not {length}")
    if pairing.data(2) != KEY_TYPE:
        raise BadPayload("the identity key is not marked as Curve25519")
    identity = pairing.data(3)
    if not verify(identity, KEY_TYPE + pairing.data(5), pairing.data(6)):
        raise BadPayload("the signed prekey is not signed by the identity key")
    try:
        props = wire.Message(pairing.data(8))
        wish = props.message(5)
    except wire.MalformedMessage as error:
        raise BadPayload(f"the device properties are no message: {error}") from error
    return Registration(
        identity_key=identity,
        registration_id=int.from_bytes(pairing.data(1)),
        os=props.data(1).decode(errors="replace"),
        platform=props.number(3),
        version=version,
        full_sync=bool(props.number(4)),
        history=HistoryWish(wish.number(1), wish.number(2), wish.number(5), wish.number(20)),
    )
