"""Thousands of browsers' sockets in one process, as lean as Python has them. `python -m bench.sockets`

Reads one JSON line {"port", "origin", "sockets": [{"token", "address"}]} from stdin, opens them all, says {"open": n};
then for each line on stdin answers what has come since: [[session, seq, ns by the monotonic clock], ...].
"""

import asyncio
import base64
import json
import os
import re
import sys
import time
from typing import Any

_SEQ = re.compile(rb'"seq":(\d+)')
_SESSION = re.compile(rb'"sessionId":"([^"]+)"')
AT_ONCE = 50

_heard: list[tuple[str, int, int]] = []


class Browser(asyncio.Protocol):
    """One socket: says hello, answers pings, notes the moment of every snapshot."""

    def __init__(self, head: bytes, token: str) -> None:
        self._head = head
        self._token = token
        self._buffer = bytearray()
        self._upgraded = False
        self._transport: asyncio.Transport
        self.first: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._head)

    def connection_lost(self, _: Exception | None) -> None:
        if not self.first.done():
            self.first.set_exception(ConnectionError("closed before the first snapshot"))
        else:
            _heard.append(("closed", 0, 0))

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        self._buffer += data
        if not self._upgraded:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            if not self._buffer.startswith(b"HTTP/1.1 101"):
                self._transport.abort()
                return
            del self._buffer[: end + 4]
            self._upgraded = True
            self._send(1, json.dumps({"type": "hello", "token": self._token, "locale": "en"}).encode())
        while self._frame(now):
            pass

    def _send(self, opcode: int, payload: bytes) -> None:
        mask = b"\0\0\0\0"  # a mask is wanted; its value is the client's affair
        size = len(payload)
        head = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
        self._transport.write(bytes([0x80 | opcode]) + head + mask + payload)

    def _frame(self, now: int) -> bool:
        """Take a whole frame out of the buffer, if there is one."""
        buffer = self._buffer
        if len(buffer) < 2:
            return False
        size, start = buffer[1] & 0x7F, 2
        if size >= 126:
            start = 4 if size == 126 else 10
            if len(buffer) < start:
                return False
            size = int.from_bytes(buffer[2:start], "big")
        if len(buffer) < start + size:
            return False
        opcode, payload = buffer[0] & 0x0F, bytes(buffer[start : start + size])
        del buffer[: start + size]
        if opcode == 9:
            self._send(10, payload)
        elif opcode == 1:
            self._heard(payload, now)
        return True

    def _heard(self, payload: bytes, now: int) -> None:
        seq, session = _SEQ.search(payload), _SESSION.search(payload)
        if seq and session:
            _heard.append((session[1].decode(), int(seq[1]), now))
            if not self.first.done():
                self.first.set_result(None)


async def main() -> None:
    """Open, then answer."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=2**24)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    wanted: dict[str, Any] = json.loads(await reader.readline())
    places = asyncio.Semaphore(AT_ONCE)

    async def one(token: str, address: str) -> Browser:
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [
            "GET /ws/v1 HTTP/1.1",
            f"Host: 127.0.0.1:{wanted['port']}",
            f"Origin: {wanted['origin']}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key}",
            "Sec-WebSocket-Version: 13",
            f"X-Forwarded-For: {address}",
        ]
        head = ("\r\n".join(lines) + "\r\n\r\n").encode()
        async with places:
            _, browser = await loop.create_connection(lambda: Browser(head, token), "127.0.0.1", wanted["port"])
            async with asyncio.timeout(60):
                await browser.first
        return browser

    browsers = await asyncio.gather(*(one(each["token"], each["address"]) for each in wanted["sockets"]))
    _say({"open": len(browsers)})
    _heard.clear()
    while await reader.readline():
        _say(list(_heard))
        _heard.clear()


def _say(what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
