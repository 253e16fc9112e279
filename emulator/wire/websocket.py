"""The server's side of a websocket (RFC 6455) on an asyncio stream: the upgrade, binary messages, ping, close. No extensions."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from typing import Protocol

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0, 1, 2, 8, 9, 10
MAX_MESSAGE = 1 << 24


class WebsocketClosed(Exception):
    """The other side closed, or broke the protocol."""


async def read_http_head(reader: asyncio.StreamReader) -> tuple[str, dict[str, str]]:
    """The request line and the headers (names in lower case). Raises WebsocketClosed."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError) as error:
        raise WebsocketClosed("no HTTP request came") from error
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            headers[name.strip().lower()] = value.strip()
    return first, headers


def accept_response(key: str) -> bytes:
    """The answer that turns the connection into a websocket."""
    accept = base64.b64encode(hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest())
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )


class Socket(Protocol):
    """The part of a websocket that a connection needs: a test may bring its own."""

    closed: bool

    def send(self, data: bytes) -> None: ...

    async def receive(self) -> bytes: ...

    def close(self, code: int | None = 1000) -> None: ...


class Websocket:
    """Messages in and out after the upgrade."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.closed = False

    def send(self, data: bytes) -> None:
        """Queues one binary message; silently dropped after close."""
        self._send_frame(_BINARY, data)

    def _send_frame(self, opcode: int, data: bytes) -> None:
        if self.closed or self._writer.is_closing():
            return
        length = len(data)
        if length < 126:
            head = bytes([0x80 | opcode, length])
        elif length < 1 << 16:
            head = bytes([0x80 | opcode, 126]) + length.to_bytes(2)
        else:
            head = bytes([0x80 | opcode, 127]) + length.to_bytes(8)
        self._writer.write(head + data)

    async def receive(self) -> bytes:
        """The next binary message. Raises WebsocketClosed."""
        message = b""
        try:
            while True:
                first, second = await self._reader.readexactly(2)
                if not second & 0x80:
                    raise WebsocketClosed("the client sent an unmasked frame")
                length = second & 0x7F
                if length >= 126:
                    length = int.from_bytes(await self._reader.readexactly(2 if length == 126 else 8))
                if len(message) + length > MAX_MESSAGE:
                    raise WebsocketClosed(f"a message of more than {MAX_MESSAGE} bytes")
                mask = await self._reader.readexactly(4)
                data = _unmask(await self._reader.readexactly(length), mask)
                opcode = first & 0x0F
                if opcode == _CLOSE:
                    self._send_frame(_CLOSE, data[:2])
                    raise WebsocketClosed("the client said goodbye")
                if opcode == _PING:
                    self._send_frame(_PONG, data)
                elif opcode in (_BINARY, _CONTINUATION):
                    message += data
                    if first & 0x80:
                        return message
                elif opcode == _TEXT:
                    raise WebsocketClosed("the client sent text")
        except (asyncio.IncompleteReadError, OSError) as error:  # OSError: reset, timed out, TLS broken
            raise WebsocketClosed("the client is gone") from error

    def close(self, code: int | None = 1000) -> None:
        """Says goodbye with `code` and closes; None cuts the connection without a word."""
        if not self.closed:
            if code is not None:
                self._send_frame(_CLOSE, code.to_bytes(2))
            self.closed = True
            if code is None:
                self._writer.transport.abort()
            else:
                self._writer.close()


def _unmask(data: bytes, mask: bytes) -> bytes:
    size = len(data)
    pad = mask * (size // 4 + 1)
    return (int.from_bytes(data, "little") ^ int.from_bytes(pad[:size], "little")).to_bytes(size, "little")
