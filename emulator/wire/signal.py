"""Signal's sessions as WhatsApp uses them: X3DH for the first message, the double ratchet from then on, both sides of each.

Sources: Signal's published X3DH and Double Ratchet texts; constants as whatsmeow's libsignal has them.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from dataclasses import dataclass, field, replace

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from emulator.wire import protobuf as wire
from emulator.wire.keys import KeyPair, hkdf
from emulator.wire.payload import KEY_TYPE

VERSION = b"\x33"
_MAC_BYTES = 8
_MOST_STEPS = 5000
_MOST_CHAINS = 5


class CannotOpen(ValueError):
    """The message was not sealed for this phone, or is broken; the text says where."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """Keys of a device that a first message to it needs. They are public, 32 bytes each."""

    registration_id: int
    identity: bytes
    signed_id: int
    signed: bytes
    one_time_id: int | None = None
    one_time: bytes = b""


@dataclass(frozen=True, slots=True)
class PrekeyMessage:
    """The outside of a `pkmsg`: by which keys the session came to be, and the sealed message."""

    one_time_id: int | None
    base: bytes
    identity: bytes
    sealed: bytes
    registration_id: int
    signed_id: int

    @staticmethod
    def parse(data: bytes) -> PrekeyMessage:
        """Raises CannotOpen."""
        # PreKeySignalMessage: preKeyId 1, baseKey 2, identityKey 3, message 4, registrationId 5, signedPreKeyId 6
        outer = _parse(data, "the prekey message")
        one_time = outer.number(1) if outer.has(1) else None
        keys = _key(outer.data(2)), _key(outer.data(3))
        return PrekeyMessage(one_time, *keys, outer.data(4), outer.number(5), outer.number(6))


@dataclass(frozen=True, slots=True)
class _Chain:
    """A chain of message keys; `key` is that of message `at`, `first` that of message 0: what comes late is opened from there."""

    first: bytes
    key: bytes
    at: int = 0

    def to(self, counter: int) -> _Chain:
        """The chain at `counter`. Raises CannotOpen when that is too far on."""
        key, at = (self.key, self.at) if counter >= self.at else (self.first, 0)
        if counter - at > _MOST_STEPS:
            raise CannotOpen(f"message {counter} of a chain is too far on")
        while at < counter:
            key, at = hmac.digest(key, b"\x02", hashlib.sha256), at + 1
        return _Chain(self.first, key, at)

    @property
    def message_keys(self) -> tuple[bytes, bytes, bytes]:
        """Cipher key, MAC key, IV."""
        keys = hkdf(hmac.digest(self.key, b"\x01", hashlib.sha256), 80, info=b"WhisperMessageKeys")
        return keys[:32], keys[32:64], keys[64:]


def _step(root: bytes, own: KeyPair, their: bytes) -> tuple[bytes, _Chain]:
    """One turn of the ratchet: the next root and a chain."""
    both = hkdf(own.exchange(their), 64, salt=root, info=b"WhisperRatchet")
    return both[:32], _Chain(both[32:], both[32:])


def _agree(*secrets: bytes) -> tuple[bytes, _Chain]:
    """X3DH's end: the first root and the first chain."""
    both = hkdf(b"\xff" * 32 + b"".join(secrets), 64, info=b"WhisperText")
    return both[:32], _Chain(both[32:], both[32:])


@dataclass(slots=True)
class Session:
    """One session between our `identity` and the device with the public key `their`. `base` names it: both sides know it."""

    identity: KeyPair
    their: bytes
    base: bytes
    root: bytes
    ratchet: KeyPair
    sending: _Chain
    receiving: dict[bytes, _Chain] = field(default_factory=dict)
    previous: int = 0
    header: dict[int, int | bytes | None] | None = None
    """The outside of our prekey messages, until the other side has answered."""

    @staticmethod
    def begin(identity: KeyPair, registration_id: int, bundle: Bundle) -> Session:
        """The session of one who writes first."""
        base, ratchet = KeyPair.generate(), KeyPair.generate()
        secrets = [identity.exchange(bundle.signed), base.exchange(bundle.identity), base.exchange(bundle.signed)]
        if bundle.one_time_id is not None:
            secrets.append(base.exchange(bundle.one_time))
        root, chain = _agree(*secrets)
        receiving = {bundle.signed: chain}
        root, sending = _step(root, ratchet, bundle.signed)
        header: dict[int, int | bytes | None] = {1: bundle.one_time_id, 2: KEY_TYPE + base.public}
        header |= {3: KEY_TYPE + identity.public, 5: registration_id, 6: bundle.signed_id}
        return Session(identity, bundle.identity, base.public, root, ratchet, sending, receiving, header=header)

    @staticmethod
    def accept(identity: KeyPair, signed_prekey: KeyPair, first: PrekeyMessage) -> Session:
        """The session of one who was written to. Raises CannotOpen."""
        if first.one_time_id is not None:
            raise CannotOpen("the message uses a one-time prekey, and we gave none")
        root, chain = _agree(
            signed_prekey.exchange(first.identity), identity.exchange(first.base), signed_prekey.exchange(first.base)
        )
        return Session(identity, first.identity, first.base, root, signed_prekey, chain)

    def seal(self, plain: bytes) -> tuple[str, bytes]:
        """The kind (`pkmsg`, `msg`) and the bytes of a sealed message."""
        cipher_key, mac_key, iv = self.sending.message_keys
        body: dict[int, int | bytes] = {1: KEY_TYPE + self.ratchet.public, 2: self.sending.at, 3: self.previous}
        inner = VERSION + wire.write(body | {4: cbc_seal(cipher_key, iv, padded(plain))})
        signed = KEY_TYPE + self.identity.public + KEY_TYPE + self.their + inner
        inner += hmac.digest(mac_key, signed, hashlib.sha256)[:_MAC_BYTES]
        self.sending = self.sending.to(self.sending.at + 1)
        if self.header is None:
            return "msg", inner
        return "pkmsg", VERSION + wire.write({number: self.header.get(number, inner) for number in (1, 2, 3, 4, 5, 6)})

    def open(self, sealed: bytes) -> bytes:
        """The plain bytes (without padding). Raises CannotOpen, and then nothing has changed."""
        # SignalMessage: ratchetKey 1, counter 2, previousCounter 3, ciphertext 4, then the MAC
        inner = _parse(sealed[:-_MAC_BYTES], "the message inside")
        their_ratchet, counter = _key(inner.data(1)), inner.number(2)
        turned = None
        chain = self.receiving.get(their_ratchet)
        if chain is None:
            root, chain = _step(self.root, self.ratchet, their_ratchet)
            ratchet = KeyPair.generate()
            turned = (*_step(root, ratchet, their_ratchet), ratchet)
        chain = chain.to(counter)
        cipher_key, mac_key, iv = chain.message_keys
        signed = KEY_TYPE + self.their + KEY_TYPE + self.identity.public + sealed[:-_MAC_BYTES]
        if not hmac.compare_digest(hmac.digest(mac_key, signed, hashlib.sha256)[:_MAC_BYTES], sealed[-_MAC_BYTES:]):
            raise CannotOpen("the MAC is wrong")
        plain = unpadded(cbc_open(cipher_key, iv, inner.data(4)))
        if turned is not None:
            self.previous = max(self.sending.at - 1, 0)
            self.root, self.sending, self.ratchet = turned
        self.receiving[their_ratchet] = replace(chain.to(counter + 1))
        while len(self.receiving) > _MOST_CHAINS:
            del self.receiving[next(iter(self.receiving))]
        self.header = None
        return plain


def _key(marked: bytes) -> bytes:
    if len(marked) != 33 or marked[:1] != KEY_TYPE:
        raise CannotOpen("a key in the message is not marked as Curve25519")
    return marked[1:]


def _parse(data: bytes, what: str) -> wire.Message:
    if not data or data[:1] != VERSION:
        raise CannotOpen(f"{what} is not of version 3")
    try:
        return wire.Message(data[1:])
    except wire.MalformedMessage as error:
        raise CannotOpen(f"{what} is no message: {error}") from error


def cbc_seal(key: bytes, iv: bytes, plain: bytes) -> bytes:
    """AES-256-CBC with PKCS 7."""
    missing = 16 - len(plain) % 16
    encryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    return encryptor.update(plain + bytes([missing]) * missing) + encryptor.finalize()


def cbc_open(key: bytes, iv: bytes, data: bytes) -> bytes:
    """The reverse of `cbc_seal`. Raises CannotOpen."""
    if not data or len(data) % 16:
        raise CannotOpen("the ciphertext has a wrong length")
    decryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).decryptor()
    return unpadded(decryptor.update(data) + decryptor.finalize())


def padded(plain: bytes) -> bytes:
    """WhatsApp's own padding, which hides the length of a text."""
    extra = os.urandom(1)[0] & 15 or 15
    return plain + bytes([extra]) * extra


def unpadded(data: bytes) -> bytes:
    """Without its padding, AES-CBC's or WhatsApp's: both end in their length. Raises CannotOpen."""
    if not data or not 0 < data[-1] <= len(data):
        raise CannotOpen("the padding is wrong")
    return data[: -data[-1]]
