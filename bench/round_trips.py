"""Round trips to a PostgreSQL, counted on the way to it: each ends with the server's word that it is ready for the next."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Self

_READY = b"Z"
_NO_TLS = b"N"
"""The one answer that is no message: to a client that asks for TLS before it logs in."""


class RoundTrips:
    """A port of loopback that leads to a PostgreSQL without TLS. What a login takes does not count."""

    def __init__(self, server: int) -> None:
        self.port = 0
        self.count = 0
        self._server = server
        self._newest = time.monotonic()
        self._writers: list[asyncio.StreamWriter] = []

    @classmethod
    @contextlib.asynccontextmanager
    async def to(cls, server: int) -> AsyncIterator[Self]:
        """Stand before that port until the end of the block."""
        trips = cls(server)
        listening = await asyncio.start_server(trips._serve, "127.0.0.1", 0)
        trips.port = listening.sockets[0].getsockname()[1]
        try:
            yield trips
        finally:
            listening.close()
            for one in trips._writers:
                one.transport.abort()
            await listening.wait_closed()

    def quiet(self, seconds: float) -> bool:
        """True if nobody has been answered for so long."""
        return time.monotonic() - self._newest >= seconds

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._server)
        self._writers += (writer, there_writer)
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            await asyncio.gather(_pass_on(reader, there_writer), self._listen(there_reader, writer))
        writer.close()
        there_writer.close()

    async def _listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on what the server says: messages of a letter, their length, and the rest."""
        letter, logged_in = await reader.readexactly(1), False
        if letter == _NO_TLS:
            writer.write(letter)
            letter = await reader.readexactly(1)
        while True:
            length = await reader.readexactly(4)
            writer.write(letter + length + await reader.readexactly(int.from_bytes(length) - 4))
            if letter == _READY:
                self.count += logged_in
                logged_in, self._newest = True, time.monotonic()
            letter = await reader.readexactly(1)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
    raise ConnectionError("closed")  # so that the other direction ends as well
