"""Texts on their way out: kept under an id for minutes, since job arguments and logs carry ids only."""

import secrets
from dataclasses import dataclass

from redis.asyncio import Redis

from shared import keys
from shared.ids import SessionId


@dataclass(frozen=True, slots=True)
class Message:
    """A text for a phone (E.164)."""

    to: str
    text: str


class Outbox:
    """The texts that wait, over one Redis."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def put(self, session: SessionId, message: Message) -> str:
        """Keep it for ten minutes; its id."""
        message_id = secrets.token_hex(8)
        key = keys.message(session, message_id)
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hset(key, mapping={"to": message.to, "text": message.text})
            pipe.pexpire(key, keys.SUBJECT_TTL)
            await pipe.execute()
        return message_id

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
