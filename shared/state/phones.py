"""The whole number of a linked device, for callers that may know it: a worker tells it, Redis keeps it for minutes."""

import re

from shared.core import keys, odd
from shared.core.ids import SessionId
from shared.state.pool import OverRedis
from shared.tasks import found

WAIT_SECONDS = 2.0
LOOK_SECONDS = 0.04
_NUMBER = re.compile(r"\+[0-9]{5,20}")


class Phones(OverRedis):
    """Over one Redis. `linked_at` names the device: of an earlier one nothing is told."""

    async def write(self, session: SessionId, linked_at: int, phone: str) -> None:
        """Keep the number for ten minutes."""
        await self._redis.set(keys.device_phone(session), f"{linked_at} {phone}", px=keys.SUBJECT_TTL)

    async def read(self, session: SessionId, linked_at: int) -> str | None:
        """The number, if it was told lately."""
        value = await self._redis.get(keys.device_phone(session))
        device, _, phone = odd.text(value).partition(" ")
        return phone if device == str(linked_at) and _NUMBER.fullmatch(phone) else None

    async def wait(self, session: SessionId, linked_at: int) -> str | None:
        """The number, as soon as a worker tells it; None if none does in time."""
        return await found(lambda: self.read(session, linked_at), WAIT_SECONDS, LOOK_SECONDS)
