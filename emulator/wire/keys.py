"""Curve25519 keys that also sign (XEdDSA), and the few key derivations of the protocol.

WhatsApp uses one Curve25519 key pair both for Diffie-Hellman and for signatures (XEdDSA: the Montgomery key is read as an
Edwards key, the sign of x travels in the top bit of the signature). We hold our own pairs as Ed25519 seeds, whose scalar is the
X25519 private key: then signing and verifying are the library's plain Ed25519.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import cached_property

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_PRIME = 2**255 - 19
CODE_ROUNDS = 131072
"""PBKDF2 rounds that stretch a pairing code (whatsmeow pair-code.go)."""


@dataclass(frozen=True)
class KeyPair:
    """A Curve25519 pair, kept as a 32 byte Ed25519 seed."""

    seed: bytes

    @staticmethod
    def generate() -> KeyPair:
        return KeyPair(os.urandom(32))

    @cached_property
    def _signer(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.seed)

    @cached_property
    def _exchanger(self) -> X25519PrivateKey:
        return X25519PrivateKey.from_private_bytes(hashlib.sha512(self.seed).digest()[:32])

    @cached_property
    def public(self) -> bytes:
        """The 32 byte Montgomery public key, as it goes over the wire."""
        return self._exchanger.public_key().public_bytes_raw()

    def exchange(self, other: bytes) -> bytes:
        """The shared secret with the public key `other`. ValueError for a key that yields zero."""
        return self._exchanger.exchange(X25519PublicKey.from_public_bytes(other))

    def sign(self, message: bytes) -> bytes:
        """A 64 byte XEdDSA signature."""
        signature = bytearray(self._signer.sign(message))
        signature[63] |= self._signer.public_key().public_bytes_raw()[31] & 0x80
        return bytes(signature)


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """True if `signature` (XEdDSA, 64 bytes) of `message` was made by the owner of the Montgomery key `public`."""
    if len(public) != 32 or len(signature) != 64:
        return False
    u = int.from_bytes(public, "little") & (2**255 - 1)
    y = (u - 1) * pow(u + 1, -1, _PRIME) % _PRIME if (u + 1) % _PRIME else 0
    edwards = bytearray(y.to_bytes(32, "little"))
    edwards[31] |= signature[63] & 0x80
    plain = signature[:63] + bytes([signature[63] & 0x7F])
    try:
        Ed25519PublicKey.from_public_bytes(bytes(edwards)).verify(plain, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def hkdf(secret: bytes, length: int, *, salt: bytes | None = None, info: bytes = b"") -> bytes:
    """HKDF with SHA-256; no salt means zeros."""
    return HKDF(algorithm=SHA256(), length=length, salt=salt, info=info).derive(secret)


def code_cipher(code: str, salt: bytes, iv: bytes, data: bytes) -> bytes:
    """`data` under AES-256-CTR with a key stretched from the pairing code (no dash). Its own inverse. Takes about 50 ms."""
    key = hashlib.pbkdf2_hmac("sha256", code.encode(), salt, CODE_ROUNDS, 32)
    return Cipher(algorithms.AES(key), modes.CTR(iv)).encryptor().update(data)
