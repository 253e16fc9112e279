"""An incoming message of the library as one line for the worker: what was said, by whom, about which other message.

Of media, only the kind, the type and the size are told. Nothing is downloaded.
"""

from typing import Any

from workers.engine.protocol import Came, Received

NUMBER, LID, GROUP = "s.whatsapp.net", "lid", "g.us"
LONGEST_TEXT = 65_536
"""Length of WhatsApp's own texts."""
_REVOKE, _EDIT = 0, 14
"""Kinds of a protocol message."""
_MEDIA = {
    "imageMessage": "image",
    "videoMessage": "video",
    "ptvMessage": "video",
    "audioMessage": "audio",
    "documentMessage": "document",
    "stickerMessage": "sticker",
}
_OTHERS = {
    "contactMessage": "contact",
    "contactsArrayMessage": "contact",
    "locationMessage": "location",
    "liveLocationMessage": "location",
    "pollCreationMessage": "poll",
    "pollCreationMessageV2": "poll",
    "pollCreationMessageV3": "poll",
    "eventMessage": "event",
    "groupInviteMessage": "group-invite",
    "orderMessage": "order",
    "buttonsResponseMessage": "button",
    "listResponseMessage": "list",
    "templateButtonReplyMessage": "button",
}
"""Kinds that are told by their name alone."""


def read(session: str, event: Any) -> Received | None:
    """The line of an incoming message. None for words between devices, and for news and status."""
    info = event.Info
    source = info.MessageSource
    if source.Chat.Server not in {NUMBER, LID, GROUP}:
        return None
    said = _content(event.Message)
    if said is None:
        return None
    sender, lid = _names(source.Sender, source.SenderAlt)
    chat, chat_lid = (
        _names(source.Chat, source.RecipientAlt)
        if source.IsFromMe
        else (f"{source.Chat.User}@{GROUP}", "")
        if source.IsGroup
        else (sender, lid)
    )
    return Received(
        session=session,
        whatsapp_id=info.ID,
        at=int(info.Timestamp),
        chat=chat or chat_lid,
        sender=sender,
        sender_lid=lid,
        name=info.Pushname[:100],
        own=source.IsFromMe,
        **said,
    )


def _names(one: Any, other: Any) -> tuple[str, str]:
    """The E.164 number and the LID of somebody, of which the library gives one or both."""
    found = {jid.Server: jid.User for jid in (one, other) if jid.User}
    number, lid = found.get(NUMBER, ""), found.get(LID, "")
    return (f"+{number}" if number else ""), (f"{lid}@{LID}" if lid else "")


def _content(message: Any) -> dict[str, Any] | None:
    if message.HasField("protocolMessage"):
        return _about_another(message.protocolMessage)
    if message.HasField("reactionMessage"):
        reaction = message.reactionMessage
        return {"came": Came.REACTION, "text": reaction.text, "target": reaction.key.ID}
    text, quoted = _words(message)
    if text:
        return {"came": Came.TEXT, "text": text, "quoted": quoted}
    for field, kind in _MEDIA.items():
        if message.HasField(field):
            media = getattr(message, field)
            return {
                "came": Came.MEDIA,
                "media": kind,
                "mime": media.mimetype,
                "size": int(media.fileLength) or None,
                "text": str(getattr(media, "caption", ""))[:LONGEST_TEXT],
                "quoted": media.contextInfo.stanzaID,
            }
    for field, kind in _OTHERS.items():
        if field in message.DESCRIPTOR.fields_by_name and message.HasField(field):
            return {"came": Came.OTHER, "media": kind}
    return None


def _about_another(protocol: Any) -> dict[str, Any] | None:
    if protocol.type == _REVOKE and protocol.key.ID:
        return {"came": Came.DELETION, "target": protocol.key.ID}
    if protocol.type == _EDIT and protocol.key.ID:
        text, _ = _words(protocol.editedMessage)
        return {"came": Came.EDIT, "target": protocol.key.ID, "text": text}
    return None


def _words(message: Any) -> tuple[str, str]:
    """The text of a message, and the id of the one that it answers."""
    extended = message.extendedTextMessage
    return (message.conversation or extended.text)[:LONGEST_TEXT], extended.contextInfo.stanzaID
