"""Opening a text that a client sealed for a phone: Signal's X3DH and the first chain of its ratchet, the receiver's side.

A phone here never answers, so every message is a prekey message of the sender's first chain and holds all that is needed: nothing
has to be remembered. Sources: Signal's published X3DH and Double Ratchet texts; constants as whatsmeow's libsignal has them.
"""

from __future__ import annotations

import hashlib
import hmac

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from emulator.wire import protobuf as wire
from emulator.wire.keys import KeyPair, hkdf
from emulator.wire.payload import KEY_TYPE

_VERSION = 3
_MAC_BYTES = 8
_MOST_STEPS = 5000


class CannotOpen(ValueError):
    """The message was not sealed for this phone, or is broken; the text says where."""


def _key(marked: bytes) -> bytes:
    if len(marked) != 33 or marked[:1] != KEY_TYPE:
        raise CannotOpen("a key in the message is not marked as Curve25519")
    return marked[1:]


def _parse(data: bytes, what: str) -> wire.Message:
    if not data or data[0] >> 4 != _VERSION:
        raise CannotOpen(f"{what} is not of version {_VERSION}")
    try:
        return wire.Message(data[1:])
    except wire.MalformedMessage as error:
        raise CannotOpen(f"{what} is no message: {error}") from error


def open_prekey_message(data: bytes, identity: KeyPair, signed_prekey: KeyPair) -> bytes:
    """The plain bytes (without padding) of a `pkmsg` that uses no one-time prekey. Raises CannotOpen."""
    # PreKeySignalMessage: preKeyId 1, baseKey 2, identityKey 3, message 4, registrationId 5, signedPreKeyId 6
    outer = _parse(data, "the prekey message")
    if outer.has(1):
        raise CannotOpen("the message uses a one-time prekey, and we gave none")
    sealed = outer.data(4)
    # SignalMessage: ratchetKey 1, counter 2, previousCounter 3, ciphertext 4, then the MAC
    inner = _parse(sealed[:-_MAC_BYTES], "the message inside")
    sender, base, ratchet = _key(outer.data(3)), _key(outer.data(2)), _key(inner.data(1))
    secrets = signed_prekey.exchange(sender) + identity.exchange(base) + signed_prekey.exchange(base)
    root = hkdf(b"\xff" * 32 + secrets, 64, info=b"WhisperText")[:32]
    chain = hkdf(signed_prekey.exchange(ratchet), 64, salt=root, info=b"WhisperRatchet")[32:]
    if inner.number(2) > _MOST_STEPS:
        raise CannotOpen(f"message {inner.number(2)} of a chain is too far on")
    for _ in range(inner.number(2)):
        chain = hmac.digest(chain, b"\x02", hashlib.sha256)
    keys = hkdf(hmac.digest(chain, b"\x01", hashlib.sha256), 80, info=b"WhisperMessageKeys")
    cipher_key, mac_key, iv = keys[:32], keys[32:64], keys[64:]
    signed = KEY_TYPE + sender + KEY_TYPE + identity.public + sealed[:-_MAC_BYTES]
    if not hmac.compare_digest(hmac.digest(mac_key, signed, hashlib.sha256)[:_MAC_BYTES], sealed[-_MAC_BYTES:]):
        raise CannotOpen("the MAC is wrong")
    decryptor = Cipher(algorithms.AES(cipher_key), modes.CBC(iv)).decryptor()
    padded = decryptor.update(inner.data(4)) + decryptor.finalize()
    return _unpad(_unpad(padded))


def _unpad(data: bytes) -> bytes:
    """Once for AES-CBC, once for WhatsApp's own padding: both end in their length."""
    if not data or not 0 < data[-1] <= len(data):
        raise CannotOpen("the padding is wrong")
    return data[: -data[-1]]


def text_of(message: bytes) -> str | None:
    """The text of a WhatsApp message (conversation 1, or extendedTextMessage 6 with text 1); None if it holds none."""
    try:
        fields = wire.Message(message)
        text = fields.data(1) or fields.message(6).data(1)
    except wire.MalformedMessage:
        return None
    return text.decode(errors="replace") if text else None
