"""Texts on their way out: kept under an id for minutes, since job arguments and logs carry ids only."""

import hashlib
import secrets
from dataclasses import dataclass

from redis.asyncio import Redis

from shared.core import keys
from shared.core.ids import SessionId


@dataclass(frozen=True, slots=True)
class Message:
    """A text for a phone (E.164)."""

    to: str
    text: str


class KeyReused(Exception):
    """Another message was asked for under this Idempotency-Key."""


# KEYS message, once   ARGV id, hash of the message, to, text, ms
# Keeps the message, unless one was under this key already; returns whose id and hash are there.
_PUT_ONCE = """
local known = redis.call('GET', KEYS[2])
if known then return known end
redis.call('SET', KEYS[2], ARGV[1] .. ':' .. ARGV[2], 'PX', ARGV[5])
redis.call('HSET', KEYS[1], 'to', ARGV[3], 'text', ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return ARGV[1] .. ':' .. ARGV[2]
"""


class Outbox:
    """The texts that wait, over one Redis."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._put_once = redis.register_script(_PUT_ONCE)

    async def put(self, session: SessionId, message: Message) -> str:
        """Keep it for ten minutes; its id."""
        message_id = secrets.token_hex(8)
        key = keys.message(session, message_id)
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hset(key, mapping={"to": message.to, "text": message.text})
            pipe.pexpire(key, keys.SUBJECT_TTL)
            await pipe.execute()
        return message_id

    async def put_once(self, session: SessionId, message: Message, key: str) -> tuple[str, bool]:
        """The same, once for each Idempotency-Key: the id, and whether the message still waits to be sent. Raises
        `KeyReused`."""
        # Under the key, which nobody else knows: no hash of a phone alone is kept.
        told = hashlib.sha256(f"{key}\0{message.to}\0{message.text}".encode()).hexdigest()
        made = secrets.token_hex(8)
        found = await self._put_once(
            keys=[keys.message(session, made), keys.once(session, hashlib.sha256(key.encode()).hexdigest())],
            args=[made, told, message.to, message.text, keys.SUBJECT_TTL],
        )
        message_id, _, known = found.decode().partition(":")
        if known != told:
            raise KeyReused
        return message_id, message_id == made or bool(await self._redis.exists(keys.message(session, message_id)))

    async def waited(self, session: SessionId, message_id: str) -> float:
        """For how many seconds it has been kept; 0 when it is gone."""
        left = await self._redis.pttl(keys.message(session, message_id))
        return (keys.SUBJECT_TTL - left) / 1000 if left > 0 else 0.0

    async def take(self, session: SessionId, message_id: str) -> Message | None:
        """The message, which is then gone here: of two takers one gets it, so it is sent at most once."""
        key = keys.message(session, message_id)
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hmget(key, ["to", "text"])
            pipe.delete(key)
            (to, text), _ = await pipe.execute()
        return Message(to.decode(), text.decode()) if to and text else None
