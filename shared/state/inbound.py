"""Incoming messages as events on the shelf: each once, and in the order in which WhatsApp told it.

The next event of a session is tried when the one before has been taken. Beside the event itself nothing is kept but its
id, for a day, by which what WhatsApp tells twice is told once.
"""

import hashlib
from dataclasses import asdict
from typing import Any

from redis.asyncio import Redis

from shared.core import keys
from shared.core.events import EventType
from shared.core.ids import SessionId
from shared.core.messages import Incoming
from shared.state.events import News
from shared.wa import Wa

MOST = 2000
"""So many events of a session wait for a receiver that is away; what comes beyond is counted, and told."""

_NAMES: dict[str, str] = {
    "whatsapp_id": "id",
    "came": "kind",
    "chat": "chat",
    "sender": "from",
    "sender_lid": "fromLid",
    "name": "name",
    "text": "text",
    "target": "targetId",
    "quoted": "quotedId",
}
"""The fields of a message in JSON."""


class InboundShelf:
    """Over one Redis."""

    def __init__(self, redis: Redis, news: News) -> None:
        self._wa = Wa(redis)
        self._news = news

    async def put(self, session: SessionId, message: Incoming, *, lost: int = 0) -> bool:
        """Tell of a message, unless that was done. True if there was room. `lost`: others of which nobody could be told."""
        # By its hash: other people's clients make these ids.
        digest = hashlib.sha256(f"{session}\0{message.whatsapp_id}".encode()).hexdigest()[:24]
        about = {"message": _view(message)}
        event = self._news.event(
            session, EventType.MESSAGE_RECEIVED, about, event_id=f"received-{digest}", at=message.at
        )
        names = {
            "heard": keys.heard(session, digest),
            "inbox": keys.inbox(session),
            "lost": keys.lost(session),
        }
        word: str = await self._wa("receive", session, names=names, event=event | {"unfed": True}, most=MOST, lost=lost)
        return word != "full"


def _view(message: Incoming) -> dict[str, Any]:
    fields = asdict(message)
    said: dict[str, Any] = {name: fields[field] for field, name in _NAMES.items() if fields[field]}
    said |= {"own": message.own, "at": message.at}
    if message.media:
        said["media"] = {"type": message.media, "mime": message.mime or None, "size": message.size}
    return said
