"""Requests that may come again: what was made under an `Idempotency-Key` is kept for a day, and not made twice."""

import hashlib
from typing import Any

import orjson
from pydantic import BaseModel
from redis.asyncio import Redis
from starlette.requests import Request

from app.http import problems
from app.http.operations import IDEMPOTENCY_KEY
from app.http.problems import Problem
from shared.core import keys, odd
from shared.state.pool import answer


class Repeats:
    """The requests for one kind of thing, over one Redis. Neither the key nor the request is kept, only a hash of both, and
    what was made."""

    def __init__(self, redis: Redis, what: str) -> None:
        self._redis = redis
        self._what = what

    async def first(self, request: Request, asked: BaseModel, fresh: dict[str, Any]) -> dict[str, Any]:
        """The answer that this request had the first time; `fresh`, which is kept then, if this is the first time, or if it
        has no key.

        Raises `Problem` if something else was asked for under the key."""
        if (key := IDEMPOTENCY_KEY.text_of(request)) is None:
            return fresh
        name = self._name(request, key)
        told = hashlib.sha256(f"{key}\0{asked.model_dump_json()}".encode()).hexdigest()
        value = orjson.dumps({"asked": told, "made": fresh})
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.set(name, value, px=keys.ONCE_TTL, nx=True)
            pipe.get(name)
            _, found = await pipe.execute()
        before = odd.fields(found)
        known = before.get("made")
        if not isinstance(known, dict) or _types(known) != _types(fresh):
            await self._redis.set(name, value, px=keys.ONCE_TTL)  # written by somebody else
            return fresh
        if before.get("asked") != told:
            raise Problem(problems.KEY_REUSED)
        return known

    async def forget(self, request: Request) -> None:
        """Nothing was made: the same may be asked for again under the same key."""
        if (key := IDEMPOTENCY_KEY.text_of(request)) is not None:
            await answer(self._redis.delete(self._name(request, key)))

    def _name(self, request: Request, key: str) -> str:
        """Keeps the keys of different callers and operations apart."""
        whose = ":".join([request.state.key.name, self._what, *request.path_params.values()])
        return keys.asked(hashlib.sha256(f"{whose}\0{key}".encode()).hexdigest())


def _types(made: dict[str, Any]) -> dict[str, type]:
    return {name: type(one) for name, one in made.items()}
