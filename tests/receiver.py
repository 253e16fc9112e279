"""The integrator's server for tests: takes webhooks over real HTTP, and answers as it is told."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Self

from tests.serving import serving

HANG = 0
"""Instead of a status: take the request and never answer."""


@dataclass(frozen=True, slots=True)
class Received:
    """One request. Header names are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


class Receiver:
    """Listens on a loopback port. `answers`: statuses for the next requests; then 204 for ever, or HANG when that is
    `then`."""

    def __init__(self, *answers: int, then: int = 204) -> None:
        self.answers = list(answers)
        self.then = then
        self.received: list[Received] = []
        self._came = asyncio.Condition()

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls, *answers: int, then: int = 204) -> AsyncIterator[Self]:
        """Gone, with its connections, at the end of the block."""
        receiver = cls(*answers, then=then)
        async with serving(receiver._serve) as port:
            receiver.url = f"http://127.0.0.1:{port}/hooks"
            yield receiver

    url: str

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                first, *rest = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in rest if line)}
                body = await reader.readexactly(int(headers["content-length"]))
                method, path, _ = first.split(" ")
                answer = self.answers.pop(0) if self.answers else self.then
                async with self._came:
                    self.received.append(Received(method, path, headers, body))
                    self._came.notify_all()
                if answer == HANG:
                    await reader.read()  # until the other side has had enough
                    break
                elsewhere = f"location: {self.url}/elsewhere\r\n" if 300 <= answer < 400 else ""
                writer.write(f"HTTP/1.1 {answer} As told\r\n{elsewhere}content-length: 0\r\n\r\n".encode())
                await writer.drain()

    async def event(self, fits: Callable[[dict[str, Any]], object], seconds: float = 20.0) -> Received:
        """The first request whose event fits, now or later."""

        def found() -> Received | None:
            return next((one for one in self.received if fits(one.event)), None)

        try:
            async with asyncio.timeout(seconds), self._came:
                await self._came.wait_for(lambda: found() is not None)
        except TimeoutError:
            raise AssertionError(f"no such event; received: {[one.event for one in self.received]}") from None
        one = found()
        assert one is not None
        return one

    async def requests(self, count: int, seconds: float = 20.0) -> list[Received]:
        """The first so many requests."""
        async with asyncio.timeout(seconds), self._came:
            await self._came.wait_for(lambda: len(self.received) >= count)
        return self.received[:count]
