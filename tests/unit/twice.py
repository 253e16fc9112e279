"""What the tests of all that comes twice share."""

import typing
from typing import Any

import orjson

from shared.core import keys
from shared.state.pool import answer


async def left_by(redis: Any) -> dict[str, Any]:
    """What is told and counted, and which texts stand how."""
    fed = [entry[b"type"] for _, entry in await redis.xrange(keys.FEED)]
    counted = {name: n for name, n in (await answer(redis.hgetall(keys.STATS))).items() if b"api_writes" not in name}
    texts = [await answer(redis.hget(one, "state")) for one in sorted(await redis.keys("wa:message:*"))]
    held = sorted(await redis.keys("wa:lease:*"))
    bodies = [await answer(redis.hget(one, "body")) for one in sorted(await redis.keys("wa:snapshot:*"))]
    states = [orjson.loads(body)["state"] for body in bodies]
    return {"fed": fed, "counted": counted, "texts": texts, "held": held, "states": states}


def of(union: Any) -> set[type]:
    """The messages of a pipe."""
    return set(typing.get_args(union))
