"""Requests that may come again: what was made under an `Idempotency-Key` is not made twice."""

from typing import Any

from pydantic import BaseModel
from redis.asyncio import Redis
from starlette.requests import Request

from app.http import problems
from app.http.operations import IDEMPOTENCY_KEY
from app.http.problems import Problem
from shared.state.once import KeyOfAnother, Once


class Repeats:
    """The requests for one kind of thing, over one Redis."""

    def __init__(self, redis: Redis, what: str) -> None:
        self._once = Once(redis)
        self._what = what

    async def first(self, request: Request, asked: BaseModel, fresh: dict[str, Any]) -> dict[str, Any]:
        """The answer that this request had the first time; `fresh` if this is the first time, or if it has no key.

        Raises `Problem` if something else was asked for under the key."""
        if (key := IDEMPOTENCY_KEY.text_of(request)) is None:
            return fresh
        try:
            return await self._once.first(self._whose(request), key, asked.model_dump_json().encode(), fresh)
        except KeyOfAnother:
            raise Problem(problems.KEY_REUSED) from None

    async def forget(self, request: Request) -> None:
        """Nothing was made: the same may be asked for again under the same key."""
        if (key := IDEMPOTENCY_KEY.text_of(request)) is not None:
            await self._once.forget(self._whose(request), key)

    def _whose(self, request: Request) -> str:
        return ":".join([request.state.key.name, self._what, *request.path_params.values()])
