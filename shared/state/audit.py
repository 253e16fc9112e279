"""The operators' timeline: each act, what it was about, and who did it."""

from collections.abc import Sequence

from redis.asyncio import Redis

from shared.core import keys
from shared.core.ids import SessionId
from shared.wa import wa


async def record(
    redis: Redis,
    event: str,
    what: str,
    by: str,
    *,
    session: SessionId | None = None,
    detail: str = "",
    counters: Sequence[str] = (),
) -> None:
    """Write an act into the operators' timeline, and into the session's if it is about one; and count it."""
    await wa(
        redis,
        "record",
        session,
        names={"stream": keys.OPERATORS},
        fields=[["event", event], ["what", what], ["detail", detail], ["by", by], ["why", ""]],
        counters=list(counters),
        event=event if session else None,
        detail=detail or by,
    )
