"""Limits of one socket: its place among others, and its pace."""

import asyncio
from collections import Counter as Tally

from app.page.slot import SocketEnded
from shared.core.protocol import CloseCode

MESSAGES_PER_SECOND = 5.0
MESSAGES_AT_ONCE = 20.0


class Place:
    """One of the `most` places that a name has among `taken`, to be held in an `async with`, which raises `SocketEnded` if there
    is none. A class, because a generator's frame would live as long as the socket."""

    __slots__ = ("_most", "_name", "_taken")

    def __init__(self, taken: Tally[str], name: str, most: int) -> None:
        self._taken = taken
        self._name = name
        self._most = most

    async def __aenter__(self) -> None:
        if self._taken[self._name] >= self._most:
            raise SocketEnded(CloseCode.TOO_MANY)
        self._taken[self._name] += 1

    async def __aexit__(self, *_: object) -> None:
        self._taken[self._name] -= 1
        if not self._taken[self._name]:
            del self._taken[self._name]


class Pace:
    """A bucket of messages that refills steadily."""

    __slots__ = ("_at", "_left")

    def __init__(self) -> None:
        self._left = MESSAGES_AT_ONCE
        self._at = asyncio.get_running_loop().time()

    def take(self) -> None:
        """One message has come. Raises `SocketEnded` when they come too fast."""
        now = asyncio.get_running_loop().time()
        self._left = min(MESSAGES_AT_ONCE, self._left + (now - self._at) * MESSAGES_PER_SECOND) - 1
        self._at = now
        if self._left < 0:
            raise SocketEnded(CloseCode.TOO_MANY)
