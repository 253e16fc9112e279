"""A Sentry for tests: takes envelopes over HTTP, as the real one does, and keeps their events."""

import asyncio
import contextlib
import gzip
import itertools
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import brotli

Event = dict[str, Any]

#: The SDK takes brotli where it is installed.
_DECODED: dict[str, Callable[[bytes], bytes]] = {"": bytes, "gzip": gzip.decompress, "br": brotli.decompress}


class Sink:
    """Listens on a loopback port; `dsn` points there."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.raw = ""
        self._came = asyncio.Condition()
        self._server: asyncio.Server

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls) -> AsyncIterator["Sink"]:
        sink = cls()
        sink._server = await asyncio.start_server(sink._serve, "127.0.0.1", 0)
        try:
            yield sink
        finally:
            sink._server.close()

    @property
    def dsn(self) -> str:
        return f"http://key@127.0.0.1:{self._server.sockets[0].getsockname()[1]}/1"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
                body = await reader.readexactly(int(fields.get("content-length", "0")))
                await self._take(_DECODED[fields.get("content-encoding", "")](body))
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
                await writer.drain()
        writer.close()

    async def _take(self, envelope: bytes) -> None:
        lines = envelope.split(b"\n")
        self.raw += envelope.decode(errors="replace")
        async with self._came:
            for head, body in itertools.pairwise(lines[1:]):
                with contextlib.suppress(ValueError, AttributeError):
                    if json.loads(head).get("type") == "event":
                        self.events.append(json.loads(body))
            self._came.notify_all()

    async def event(self, fits: Callable[[Event], object], seconds: float = 20.0) -> Event:
        """The first event that fits, which must be the only one that does."""
        async with asyncio.timeout(seconds), self._came:
            await self._came.wait_for(lambda: any(map(fits, self.events)))
        found = [one for one in self.events if fits(one)]
        assert len(found) == 1, f"{len(found)} times: {[one.get('message') or one.get('exception') for one in found]}"
        return found[0]
