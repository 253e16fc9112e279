"""Files on WhatsApp's media hosts: sealed with a key of their own. Source: whatsmeow download.go, upload.go."""

from __future__ import annotations

import hashlib
import hmac
import os
from dataclasses import dataclass

from emulator.wire.keys import hkdf
from emulator.wire.signal import cbc_seal

HISTORY = b"WhatsApp History Keys"
APP_STATE = b"WhatsApp App State Keys"
_MAC_BYTES = 10


@dataclass(frozen=True, slots=True)
class SealedFile:
    """A file as it lies on the host, and what one must know to fetch and open it."""

    body: bytes
    key: bytes
    sha256: bytes
    enc_sha256: bytes
    length: int

    @property
    def path(self) -> str:
        """Its path on the host."""
        return f"/v/t62.7118-24/{self.enc_sha256.hex()}.enc"

    @property
    def direct_path(self) -> str:
        """The path as a message names it: clients add to its query."""
        return f"{self.path}?ccb=11-4"


def seal(data: bytes, purpose: bytes) -> SealedFile:
    """Seals a file for one purpose (HISTORY, APP_STATE)."""
    key = os.urandom(32)
    keys = hkdf(key, 112, info=purpose)
    iv, cipher_key, mac_key = keys[:16], keys[16:48], keys[48:80]
    sealed = cbc_seal(cipher_key, iv, data)
    body = sealed + hmac.digest(mac_key, iv + sealed, hashlib.sha256)[:_MAC_BYTES]
    return SealedFile(body, key, hashlib.sha256(data).digest(), hashlib.sha256(body).digest(), len(data))
