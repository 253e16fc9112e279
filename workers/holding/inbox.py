"""An incoming message, as a holder tells it, in the words of the integrator."""

from shared.core.events import IncomingMessage, MediaNotice
from workers.engine import protocol as pipe


def incoming(event: pipe.Received) -> IncomingMessage:
    """The message, without its empty fields."""
    media = MediaNotice(type=event.media, mime=event.mime or None, size=event.size) if event.media else None
    return IncomingMessage(
        id=event.whatsapp_id,
        kind=event.came.value,
        chat=event.chat,
        sender=event.sender or None,
        from_lid=event.sender_lid or None,
        name=event.name or None,
        own=event.own,
        at=event.at,
        text=event.text or None,
        target_id=event.target or None,
        quoted_id=event.quoted or None,
        media=media,
    )
