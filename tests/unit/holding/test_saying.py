"""Where a session stands, when two say it at once."""

import asyncio

from shared.core.lifecycle import State
from tests.unit.holding.house import SESSION
from workers.engine import protocol as pipe


async def test_of_two_that_are_said_at_once_the_present_one_is_written_last(house, monkeypatch):
    """The first write waits for a Redis that is slow, or for a new connection."""
    await house.up()
    held, save, go_on, slow = house.sessions._held[SESSION], house.snapshots.save, asyncio.Event(), [True]

    async def late(lease, change):
        if slow.pop() if slow else False:
            await go_on.wait()
        return await save(lease, change)

    monkeypatch.setattr(house.snapshots, "save", late)
    again = asyncio.create_task(house.sessions._roster.again(held, "session.retaken"))
    while slow:
        await asyncio.sleep(0)
    dropped = asyncio.create_task(house.holders.hear(pipe.Dropped(session=SESSION)))
    for _ in range(50):
        await asyncio.sleep(0)  # its write may overtake the other, if nothing keeps it
    go_on.set()
    await asyncio.gather(again, dropped)
    assert (await house.body()).state is State.RECONNECTING
