"""Forgets a company in Redis: every key and value that names it, of any type, so that a new kind of key needs no line
here. One line of the operators' timeline stays: who had it forgotten, and when.

The wish waits in a hash until the device is logged out. Every sweep reads it, so that no death of a worker loses it.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from pydantic import SecretStr
from redis.asyncio import Redis

from shared.core import keys, odd
from shared.core.clock import now_ms
from shared.core.ids import SessionId, WorkerId, company_of
from shared.state.audit import record
from shared.state.claims import Claims
from shared.state.cooldowns import Cooldowns
from shared.state.pool import OverRedis, answer

_BATCH = 500
_OURS = re.compile(rb"(?:[\w.-]+:)?((?:wa|arq):.*)", re.DOTALL)
"""A key, behind the word of its name space if it has one."""
_SHARED = frozenset({keys.STATS, keys.SWITCH, keys.SWITCH_SEEN, keys.FORGETTING})
"""Hashes about everybody. Others are about one thing, and go as a whole."""
EVENT = "company.forgotten"


class Forgetting(OverRedis):
    def __init__(self, redis: Redis, secret: SecretStr) -> None:
        super().__init__(redis)
        self._cooldowns = Cooldowns(redis, secret)

    async def wish(self, session: SessionId, by: str) -> None:
        """Have the session's company forgotten as soon as it has no device. Idempotent."""
        wish = orjson.dumps({"at": now_ms(), "by": by}).decode()
        await self._keep(keys.FORGETTING, {session: wish}, keys.SNAPSHOT_TTL)

    async def is_wished(self, session: SessionId) -> bool:
        """True if the session is to be forgotten."""
        return bool(await answer(self._redis.hexists(keys.FORGETTING, session)))

    async def erase(self, session: SessionId) -> None:
        """Remove whatever names the session, revoke its links, and write the line of the audit. Call it when nobody writes
        about the session any more. If it is interrupted, the next call does the rest."""
        wish = odd.fields(await answer(self._redis.hget(keys.FORGETTING, session)))
        named = _mentions(session)
        for pattern in ("wa:*", "arq:*", keys.said("*")):  # last, answers that were given before all events were gone
            place: int | None = None
            while place != 0:
                place, found = await self._redis.scan(place or 0, match=pattern, count=_BATCH)
                await self._strike(found, named)
        await self._redis.delete(self._cooldowns.of_company(session))
        await record(self._redis, EVENT, session, str(wish.get("by", "")))
        await answer(self._redis.hdel(keys.FORGETTING, session))

    async def _strike(self, found: list[bytes], named: re.Pattern[bytes]) -> None:
        """Remove from these keys what names the session: the key, or its parts."""
        names = [whole[1].decode(errors="surrogateescape") for one in found if (whole := _OURS.fullmatch(one))]
        async with self._redis.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.type(name)
            kinds = await pipe.execute()
        for name, kind in zip(names, kinds, strict=True):
            if named.search(name.encode(errors="surrogateescape")):
                await self._redis.delete(name)
            elif (strike := _STRIKES.get(kind)) is not None:
                await strike(self._redis, name, named)


def _mentions(session: SessionId) -> re.Pattern[bytes]:
    """Finds the session, or its company as JSON or a record has it, also JSON inside JSON: a script's answer has events."""
    word, company = re.escape(session.encode()), re.escape(company_of(session).encode())
    return re.compile(rb'(?<![\w.-])%b(?![\w.-])|"company(?:Id)?\\*":\s*\\*"%b\\*"' % (word, company))


async def _string(redis: Redis, name: str, named: re.Pattern[bytes]) -> None:
    value = await redis.get(name)
    if value is not None and named.search(value):
        await redis.delete(name)


async def _hash(redis: Redis, name: str, named: re.Pattern[bytes]) -> None:
    found = await answer(redis.hgetall(name))
    if name in _SHARED or name.startswith(keys.worker(WorkerId(""))):
        return
    company = found.get(b"company", b"")
    its_own = bool(company) and named.search(b"company_" + company) is not None
    if its_own and name.startswith(keys.made_link("")):
        link = name.removeprefix(keys.made_link(""))
        # The link's token is signed and may be out there: it must open nothing.
        await Claims(redis).revoke(link)
    if its_own or any(named.search(one) for pair in found.items() for one in pair):
        await redis.delete(name)


def _members(
    read: Callable[[Redis, str], Any], remove: Callable[[Redis, str, bytes], Any]
) -> Callable[[Redis, str, re.Pattern[bytes]], Awaitable[None]]:
    """Make the function that removes from a key the members that name the session."""

    async def strike(redis: Redis, name: str, named: re.Pattern[bytes]) -> None:
        for one in {one for one in await answer(read(redis, name)) if named.search(one)}:
            await answer(remove(redis, name, one))

    return strike


async def _stream(redis: Redis, name: str, named: re.Pattern[bytes]) -> None:
    start = b"-"
    while entries := await redis.xrange(name, min=start, count=_BATCH):
        gone = [place for place, entry in entries if any(named.search(one) for pair in entry.items() for one in pair)]
        if gone:
            await redis.xdel(name, *gone)
        start = b"(" + entries[-1][0]


_STRIKES: dict[bytes, Callable[[Redis, str, re.Pattern[bytes]], Awaitable[Any]]] = {
    b"string": _string,
    b"hash": _hash,
    b"list": _members(lambda redis, name: redis.lrange(name, 0, -1), lambda redis, name, one: redis.lrem(name, 0, one)),  # type: ignore[arg-type]
    b"set": _members(Redis.smembers, Redis.srem),
    b"zset": _members(lambda redis, name: redis.zrange(name, 0, -1), Redis.zrem),
    b"stream": _stream,
}
