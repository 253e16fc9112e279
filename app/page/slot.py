"""A socket's place between the relay and its writer: the newest snapshot only, and answers for this socket alone."""

import asyncio
import json

from shared.core.protocol import Body, CloseCode, ServerMessage, Snapshot
from shared.state.snapshots import Stored

MOST_ANSWERS = 16
"""Answers that wait for one socket, at most. Older ones are dropped."""


class SocketEnded(Exception):
    """The socket must be closed with `code`. `RESTART`: the browser knows an outdated state, and must reconnect."""

    def __init__(self, code: CloseCode) -> None:
        super().__init__(code.name)
        self.code = code


def text_of(message: ServerMessage) -> str:
    return message.model_dump_json(by_alias=True, exclude_none=True)


def with_return(text: str, url: str) -> str:
    """Message with the link's own `returnUrl`: sockets of a session share its text, but each link has its way back."""
    return f'{text[:-1]},"returnUrl":{json.dumps(url)}}}'


class Slot:
    """A socket's place for the newest snapshot, and for the few answers meant for this socket alone. One reader. `link`:
    the id of the link by which it came; `version`: that of the newest snapshot it was offered.

    A list and a future weigh 1.3 KiB less than a deque and an event, for each socket.
    """

    __slots__ = ("__weakref__", "_answers", "_ended", "_newest", "_reader", "link", "version")

    def __init__(self, link: str = "") -> None:
        self.link = link
        self._newest: tuple[Stored, str, int | None] | None = None
        self._answers: list[str] = []
        self._reader: asyncio.Future[None] | None = None
        self.version = (-1, -1)
        self._ended: CloseCode | None = None

    def put(self, stored: Stored, text: str, *, position: int | None = None, again: bool = False) -> None:
        """Offer a snapshot; what is older than the slot's newest is dropped. `again` lets the same version pass."""
        if stored.version < self.version or (stored.version == self.version and not again):
            return
        self.version = stored.version
        self._newest = (stored, text, position)
        self._tell()

    def answer(self, message: ServerMessage) -> None:
        self._answers = [*self._answers[1 - MOST_ANSWERS :], text_of(message)]
        self._tell()

    def end(self, code: CloseCode = CloseCode.RESTART) -> None:
        self._ended = code
        self._tell()

    async def first(self) -> Snapshot:
        """Wait for the first snapshot and take it. Raises `SocketEnded` when the socket is to be closed."""
        while self._newest is None:
            if self._ended is not None:
                raise SocketEnded(self._ended)
            await self._wait()
        stored, _, position = self._newest
        self._newest = None
        return stored.snapshot(queue_position=position)

    async def next(self) -> tuple[str, Body | None]:
        """Wait for the next text, and its snapshot if it has one. Raises `SocketEnded` if the socket must be closed."""
        while True:
            if self._ended is not None:
                raise SocketEnded(self._ended)
            if self._answers:
                return self._answers.pop(0), None
            if self._newest is not None:
                (stored, text, _), self._newest = self._newest, None
                return text, stored.body
            await self._wait()

    def _tell(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    async def _wait(self) -> None:
        self._reader = asyncio.get_running_loop().create_future()
        try:
            await self._reader
        finally:
            self._reader = None
