"""The events of all companies as they happen: server-sent events, which a reader can resume where they broke off."""

import asyncio
from collections.abc import AsyncIterator

from redis.asyncio import Redis
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from app.http import problems
from app.http.operations import COMPANIES, Answer, Parameter, operation
from app.http.problems import Problem
from shared.core import keys, odd
from shared.core.events import EventType
from shared.tasks import happens, outlived

MOST_READERS = 50
"""Streams of one web process at a time."""
QUIET_SECONDS = 15.0
"""Interval of a comment on a stream without events. Hosts cut connections that are silent for 30 s."""
_AT_ONCE = 100
_KINDS = {kind.value for kind in EventType}

LAST_EVENT_ID = Parameter(
    "header",
    "Last-Event-ID",
    "The `id` of the last event that you have seen: what came after it is sent first. Without it, what comes from now on.",
    {"type": "string", "pattern": r"^[0-9]{1,15}-[0-9]{1,10}$"},
)


class Feed:
    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._readers = 0
        self._closing = False
        self._news = asyncio.Event()

    def call(self) -> None:
        """Wake the streams: the feed has a new event."""
        news, self._news = self._news, asyncio.Event()
        news.set()

    def close(self) -> None:
        """End all streams: the process stops, and their readers go on elsewhere."""
        self._closing = True
        self.call()

    @operation(
        "GET",
        "/api/v1/events",
        Answer(
            200,
            "A stream. `data` is an Event, `event` its type; `feed.gap` says that events after `Last-Event-ID` are gone.",
            media="text/event-stream",
        ),
        own=(problems.TOO_MANY_STREAMS,),
        takes=(LAST_EVENT_ID,),
        scopes=COMPANIES,
    )
    async def events(self, request: Request) -> Response:
        """Read the events of all companies as they happen, as server-sent events: those of webhooks, but for `message.received`."""
        last = LAST_EVENT_ID.text_of(request)
        if self._readers >= MOST_READERS:
            raise Problem(problems.TOO_MANY_STREAMS)
        oldest = await self._redis.xrange(keys.FEED, count=1)
        gap = last is not None and bool(oldest) and _place(oldest[0][0].decode()) > _place(last) > (0, 0)
        if gap and await self._redis.xlen(keys.FEED) < keys.FEED_LENGTH:
            gap = False  # nothing was trimmed: Redis was emptied, and the feed began anew
        if last is None:
            newest = await self._redis.xrevrange(keys.FEED, count=1)
            last = newest[0][0].decode() if newest else "0-0"
        stream = self._stream(last, gap=gap)
        return StreamingResponse(stream, media_type="text/event-stream", headers={"x-accel-buffering": "no"})

    async def _stream(self, last: str, *, gap: bool) -> AsyncIterator[bytes]:
        self._readers += 1
        try:
            with outlived("feed.broken"):  # the reader reconnects with its last id
                yield b"retry: 3000\n\n"
                if gap:
                    yield b"event: feed.gap\ndata: {}\n\n"
                while not self._closing:
                    news = self._news
                    entries = await self._redis.xrange(keys.FEED, min=f"({last}", count=_AT_ONCE)
                    for place, entry in entries:
                        last = place.decode()
                        if odd.text(entry.get(b"type")) in _KINDS and odd.fields(entry.get(b"body")):
                            yield _text(last, entry)
                    if not entries:
                        yield b"" if await happens(news, QUIET_SECONDS) else b": \n\n"
        finally:
            self._readers -= 1


def _place(text: str) -> tuple[int, int]:
    moment, _, number = text.partition("-")
    return int(moment), int(number)


def _text(place: str, entry: dict[bytes, bytes]) -> bytes:
    kind, body = (entry.get(name, b"").replace(b"\n", b" ").replace(b"\r", b" ") for name in (b"type", b"body"))
    return b"id: " + place.encode() + b"\nevent: " + kind + b"\ndata: " + body + b"\n\n"
