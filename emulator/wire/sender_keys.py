"""Sender keys, by which a text to a group is sealed once for all its members.

Source: Signal's group sessions as whatsmeow's libsignal has them (groups/).
"""

from __future__ import annotations

import hashlib
import hmac
import os
from dataclasses import dataclass

from emulator.wire import protobuf as wire
from emulator.wire.keys import KeyPair, hkdf, verify
from emulator.wire.payload import KEY_TYPE
from emulator.wire.signal import VERSION, CannotOpen, cbc_open, cbc_seal, padded, unpadded

_MOST_STEPS = 5000
_SIGNATURE_BYTES = 64


def _keys(chain: bytes) -> tuple[bytes, bytes]:
    """IV and cipher key of the message at this place of the chain."""
    derived = hkdf(hmac.digest(chain, b"\x01", hashlib.sha256), 48, info=b"WhisperGroup")
    return derived[:16], derived[16:]


@dataclass(slots=True)
class OwnSenderKey:
    """The key by which one member writes to one group."""

    id: int
    chain: bytes
    signer: KeyPair
    iteration: int = 0

    @staticmethod
    def generate() -> OwnSenderKey:
        return OwnSenderKey(int.from_bytes(os.urandom(4)) >> 1, os.urandom(32), KeyPair.generate())

    def distribution(self) -> bytes:
        """Distribution message for the other members (id 1, iteration 2, chainKey 3, signingKey 4)."""
        signing = KEY_TYPE + self.signer.public
        return VERSION + wire.write({1: self.id, 2: self.iteration, 3: self.chain, 4: signing})

    def seal(self, plain: bytes) -> bytes:
        """The bytes of a `skmsg` (id 1, iteration 2, ciphertext 3, then the signature)."""
        iv, key = _keys(self.chain)
        body = VERSION + wire.write({1: self.id, 2: self.iteration, 3: cbc_seal(key, iv, padded(plain))})
        self.chain, self.iteration = hmac.digest(self.chain, b"\x02", hashlib.sha256), self.iteration + 1
        return body + self.signer.sign(body)


@dataclass(frozen=True, slots=True)
class TheirSenderKey:
    """A member's key, as the member told it. Each message is opened from there, so none must come in order."""

    id: int
    iteration: int
    chain: bytes
    signing: bytes

    @staticmethod
    def parse(distribution: bytes) -> TheirSenderKey:
        """Raises CannotOpen."""
        told = _parse(distribution)
        if len(told.data(3)) != 32 or len(told.data(4)) != 33:
            raise CannotOpen("a sender key of wrong length")
        return TheirSenderKey(told.number(1), told.number(2), told.data(3), told.data(4)[1:])

    def open(self, sealed: bytes) -> bytes:
        """The plain bytes of a `skmsg` (without padding). Raises CannotOpen."""
        body, signature = sealed[:-_SIGNATURE_BYTES], sealed[-_SIGNATURE_BYTES:]
        message = _parse(body)
        if message.number(1) != self.id:
            raise CannotOpen(f"sender key {message.number(1)} is not known")
        if not verify(self.signing, body, signature):
            raise CannotOpen("the signature of a text to a group is wrong")
        steps = message.number(2) - self.iteration
        if not 0 <= steps <= _MOST_STEPS:
            raise CannotOpen(f"message {message.number(2)} of a sender key is too far on")
        chain = self.chain
        for _ in range(steps):
            chain = hmac.digest(chain, b"\x02", hashlib.sha256)
        iv, key = _keys(chain)
        return unpadded(cbc_open(key, iv, message.data(3)))


def _parse(data: bytes) -> wire.Message:
    if data[:1] != VERSION:
        raise CannotOpen("a sender key message is not of version 3")
    try:
        return wire.Message(data[1:])
    except wire.MalformedMessage as error:
        raise CannotOpen(f"a sender key message is no message: {error}") from error
