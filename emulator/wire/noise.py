"""The server's side of Noise XX (25519, AES-GCM, SHA-256) with WhatsApp's certificate, and the sealed channel after it.

Source: whatsmeow handshake.go, socket/noisehandshake.go, socket/noisesocket.go.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from emulator.wire import protobuf as wire
from emulator.wire.keys import KeyPair, hkdf

PATTERN = b"Noise_XX_25519_AESGCM_SHA256\x00\x00\x00\x00"
PROLOGUE = b"WA\x06\x03"
"""Sent once before the first frame: magic, protocol 6, word lists of version 3."""

EDGE_MARK = b"ED\x00\x01"
EDGE_HEAD = len(EDGE_MARK) + 3
"""A client may say before all this where it was sent (the mark, three bytes of length, the routing info). Source: Baileys noise-handler."""


class HandshakeRefused(Exception):
    """The client's part of the handshake is wrong; the text says how."""


def _iv(counter: int) -> bytes:
    return counter.to_bytes(12)


class SealedChannel:
    """Frames after the handshake: AES-GCM, one key and one counter per direction."""

    def __init__(self, receive_key: bytes, send_key: bytes) -> None:
        self._receive, self._send = AESGCM(receive_key), AESGCM(send_key)
        self._received = self._sent = 0

    def seal(self, plain: bytes) -> bytes:
        frame = self._send.encrypt(_iv(self._sent), plain, None)
        self._sent += 1
        return frame

    def open(self, frame: bytes) -> bytes:
        """Raises HandshakeRefused when the frame was sealed with another key or counter."""
        try:
            plain = self._receive.decrypt(_iv(self._received), frame, None)
        except InvalidTag as error:
            raise HandshakeRefused(f"frame {self._received} cannot be opened: wrong key or counter") from error
        self._received += 1
        return plain


@dataclass(frozen=True, slots=True)
class Greeted:
    """Result of the handshake: the client's static key, its payload (a ClientPayload message) and the channel."""

    client_static: bytes
    payload: bytes
    channel: SealedChannel


class ServerHandshake:
    """One handshake: `answer(first frame)` gives the server hello, `finish(second frame)` the result."""

    def __init__(self, static: KeyPair, certificate: bytes) -> None:
        self._static, self._certificate = static, certificate
        self._ephemeral = KeyPair.generate()
        self._client_ephemeral = b""
        self._hash = self._salt = self._key = PATTERN
        self._counter = 0
        self._mix_hash(PROLOGUE)

    def _mix_hash(self, data: bytes) -> None:
        self._hash = hashlib.sha256(self._hash + data).digest()

    def _mix_key(self, secret: bytes) -> None:
        both = hkdf(secret, 64, salt=self._salt)
        self._salt, self._key, self._counter = both[:32], both[32:], 0

    def _seal(self, plain: bytes) -> bytes:
        sealed = AESGCM(self._key).encrypt(_iv(self._counter), plain, self._hash)
        self._counter += 1
        self._mix_hash(sealed)
        return sealed

    def _open(self, sealed: bytes, what: str) -> bytes:
        try:
            plain = AESGCM(self._key).decrypt(_iv(self._counter), sealed, self._hash)
        except (InvalidTag, ValueError) as error:
            raise HandshakeRefused(f"the client's {what} cannot be opened: the keys or the prologue differ") from error
        self._counter += 1
        self._mix_hash(sealed)
        return plain

    def answer(self, frame: bytes) -> bytes:
        """The server hello for a client hello. Raises HandshakeRefused."""
        # HandshakeMessage: clientHello 2 (ephemeral 1), serverHello 3 (ephemeral 1, static 2, payload 3), clientFinish 4
        try:
            self._client_ephemeral = wire.Message(frame).message(2).data(1)
        except wire.MalformedMessage as error:
            raise HandshakeRefused(f"the client hello is no message: {error}") from error
        if len(self._client_ephemeral) != 32:
            raise HandshakeRefused(f"the client's ephemeral key has {len(self._client_ephemeral)} bytes, not 32")
        self._mix_hash(self._client_ephemeral)
        self._mix_hash(self._ephemeral.public)
        self._mix_key(self._ephemeral.exchange(self._client_ephemeral))
        static = self._seal(self._static.public)
        self._mix_key(self._static.exchange(self._client_ephemeral))
        payload = self._seal(self._certificate)
        return wire.write({3: wire.write({1: self._ephemeral.public, 2: static, 3: payload})})

    def finish(self, frame: bytes) -> Greeted:
        """Opens the client's static key and payload (clientFinish: static 1, payload 2). Raises HandshakeRefused."""
        try:
            message = wire.Message(frame).message(4)
        except wire.MalformedMessage as error:
            raise HandshakeRefused(f"the client finish is no message: {error}") from error
        client_static = self._open(message.data(1), "static key")
        if len(client_static) != 32:
            raise HandshakeRefused(f"the client's static key has {len(client_static)} bytes, not 32")
        self._mix_key(self._ephemeral.exchange(client_static))
        payload = self._open(message.data(2), "payload")
        final = hkdf(b"", 64, salt=self._salt)
        return Greeted(client_static, payload, SealedChannel(receive_key=final[:32], send_key=final[32:]))
