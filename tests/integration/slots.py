"""What the tests of the relay ask of a slot, and of Redis."""

import asyncio

import orjson


async def channels(operator):
    return sorted(one.decode() for one in await operator.pubsub_channels("wa:events:*"))


async def state_in(slot):
    async with asyncio.timeout(5):
        return orjson.loads((await slot.next())[0])["snapshot"]["state"]


async def has(operator, name):
    return name in await channels(operator)
