"""Events that wait or are dead, for operators and integrators: list, show, send anew, test."""

from enum import StrEnum
from typing import Any

import orjson

from shared.core import keys, odd
from shared.core.datum import Datum
from shared.core.events import Event, EventType
from shared.core.ids import CompanyId, company_id, session_of
from shared.state.events import EventShelf
from shared.state.pool import answer

_LOOK_AT = 1_000
"""So many entries of the feed are read at once."""


class Standing(StrEnum):
    """The state of an event. `waiting`: it is tried again. `dead`: no receiver took it for a day."""

    WAITING = "waiting"
    DEAD = "dead"


class Delivery(Datum):
    """An event that no receiver has taken yet. `next_at`: when it is tried next; of a dead one, when it died (ms). `body`
    is without what somebody has written, which is for the receiver alone."""

    id: str
    type: str
    company: str
    standing: Standing
    next_at: int
    tries: int
    fault: str
    body: str


_SHELVES = {Standing.WAITING: keys.WEBHOOKS, Standing.DEAD: keys.DEAD_WEBHOOKS}


class Deliveries(EventShelf):
    """The shelf as people look at it."""

    async def list(self, standing: Standing, most: int = 100) -> list[Delivery]:
        """The events that stand so, the next, or the longest dead, first."""
        ids = await self._redis.zrange(_SHELVES[standing], 0, most - 1, withscores=True)
        found = [await self._read(name.decode(errors="replace"), standing, score) for name, score in ids]
        return [one for one in found if one is not None]

    async def show(self, event_id: str) -> Delivery | None:
        """One event that waits or is dead."""
        for standing, shelf in _SHELVES.items():
            if (score := await self._redis.zscore(shelf, event_id)) is not None:
                return await self._read(event_id, standing, score)
        return None

    async def _read(self, event_id: str, standing: Standing, score: float) -> Delivery | None:
        fields = ["type", "company", "body", "tries", "fault"]
        found = await answer(self._redis.hmget(keys.webhook(event_id), fields))
        kind, company, body, tries, fault = map(odd.text, found)
        if not body:
            return None
        if "message" in (parts := odd.fields(body)):
            body = orjson.dumps({name: value for name, value in parts.items() if name != "message"}).decode()
        return Delivery(event_id, kind, company, standing, odd.number(score), odd.number(tries), fault, body)

    async def resend(self, event_id: str) -> bool:
        """Have an event tried at once, and for another day: one that waits, that is dead, or that is still in the
        feed. True if there is one. Raises ValueError for an entry of the feed that is no event."""
        if await super().resend(event_id):
            return True
        newest: Any = "+"
        while entries := await self._redis.xrevrange(keys.FEED, max=newest, count=_LOOK_AT):
            for _, entry in entries:
                body = entry.get(b"body", b"")
                if f'"id":"{event_id}"'.encode() in body[:200]:
                    event = Event.model_validate_json(body, extra="ignore")
                    company = company_id(event.company_id)
                    await self._put(company, event.type, event.id, body=body.decode())
                    return True
            newest = f"({entries[-1][0].decode()}"
        return False

    async def test(self, company: CompanyId, event_id: str) -> None:
        """Have the company's receiver, or the service's, told of a test."""
        await self._put(company, EventType.TEST, event_id)

    async def _put(self, company: CompanyId, kind: EventType, event_id: str, **more: str) -> None:
        session = session_of(company)
        told = self._news.event(session, kind, {}, event_id=event_id)
        await self.put(session, told | {"wanted": True, "unfed": True} | more)
