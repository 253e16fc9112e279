"""Results of requests with an `Idempotency-Key`, kept for a day."""

import hashlib
from typing import Any

import orjson
from redis.asyncio import Redis

from shared.core import keys, odd
from shared.state.pool import answer


class KeyOfAnother(Exception):
    """Something else was asked for under this key."""


class Once:
    """Over one Redis. Neither the key nor the request is kept, only a hash of both, and what was made."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def first(self, whose: str, key: str, asked: bytes, made: dict[str, Any]) -> dict[str, Any]:
        """The result that this request had the first time; `made`, which is kept then, if this is the first. Raises
        `KeyOfAnother`. `whose` keeps the keys of different callers and operations apart."""
        name = keys.asked(hashlib.sha256(f"{whose}\0{key}".encode()).hexdigest())
        told = hashlib.sha256(key.encode() + b"\0" + asked).hexdigest()
        value = orjson.dumps({"asked": told, "made": made})
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.set(name, value, px=keys.ONCE_TTL, nx=True)
            pipe.get(name)
            _, found = await pipe.execute()
        before = odd.fields(found)
        known = before.get("made")
        if not isinstance(known, dict) or _types(known) != _types(made):
            await self._redis.set(name, value, px=keys.ONCE_TTL)  # written by somebody else
            return made
        if before.get("asked") != told:
            raise KeyOfAnother
        return known

    async def forget(self, whose: str, key: str) -> None:
        """Forget the request, because nothing came of it: it may be asked anew."""
        await answer(self._redis.delete(keys.asked(hashlib.sha256(f"{whose}\0{key}".encode()).hexdigest())))


def _types(made: dict[str, Any]) -> dict[str, type]:
    return {name: type(one) for name, one in made.items()}
