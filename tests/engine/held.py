"""What the tests of holders do again and again."""

import asyncio

from tests.engine.steps import Linked, until
from workers.engine.processes import Holder
from workers.engine.protocol import (
    Confirmed,
    Dropped,
    Held,
    Lost,
    Probe,
    Probed,
    Starting,
)


async def next_of(holder: Holder, seconds: float = 20) -> object:
    """The next line, but for receipts, which come when they like."""
    async with asyncio.timeout(seconds):
        while isinstance(line := await anext(holder), Confirmed | Starting):
            pass
        return line


async def hold(holder: Holder, linked: Linked, session: str = "s") -> None:
    await holder.send(linked.hold(session))
    assert await next_of(holder) == Held(session=session)


async def lost(holder: Holder) -> Lost:
    event = await next_of(holder)
    while isinstance(event, Dropped):
        event = await next_of(holder)
    assert isinstance(event, Lost)
    return event


async def probe(holder: Holder) -> Probed:
    await holder.send(Probe())
    return await until(holder, Probed)
