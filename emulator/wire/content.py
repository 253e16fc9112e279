"""Contents of WhatsApp messages (waE2E.Message): writing what phones send, reading what clients send.

Field numbers: whatsmeow proto/waE2E.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass

from emulator.wire import protobuf as wire

_WRAPPERS = {31: 2, 40: 1, 53: 1, 58: 1}
"""Fields that hold another message inside: deviceSent, ephemeral, documentWithCaption, edited; and where it lies in them."""
_MEDIA = {3: "image", 7: "document", 8: "audio", 9: "video", 26: "sticker"}
_OTHERS = {4: "contact", 5: "location", 49: "poll"}
_REVOKE, _EDIT = 0, 14


@dataclass(frozen=True, slots=True)
class Content:
    """The content of a message. `target` is the id that a reaction, an edit or a deletion is about; `quoted` the one
    it answers."""

    kind: str
    text: str | None = None
    target: str | None = None
    quoted: str | None = None


def _message_key(chat: str, message_id: str, *, from_me: bool, participant: str | None = None) -> bytes:
    return wire.write({1: chat, 2: int(from_me), 3: message_id, 4: participant})


def text(words: str, *, quoted: str | None = None, quoted_from: str = "", quoted_text: str = "") -> bytes:
    """A text; with `quoted`, the answer to that message, which `quoted_from` (an address) wrote."""
    if quoted is None:
        return wire.write({1: words})
    context = wire.write({1: quoted, 2: quoted_from, 3: wire.write({1: quoted_text})})
    return wire.write({6: wire.write({1: words, 17: context})})


def reaction(chat: str, target: str, emoji: str, at_ms: int, *, from_me: bool = False) -> bytes:
    """An emoji put on a message; an empty one takes it back."""
    key = _message_key(chat, target, from_me=from_me)
    return wire.write({46: wire.write({1: key, 2: emoji, 4: at_ms})})


def edit(chat: str, target: str, words: str, at_ms: int) -> bytes:
    """Other words for a text that the same phone sent."""
    key = _message_key(chat, target, from_me=True)
    return wire.write({12: wire.write({1: key, 2: _EDIT, 14: wire.write({1: words}), 15: at_ms})})


def deletion(chat: str, target: str) -> bytes:
    """The deletion "for everyone" of a message that the same phone sent."""
    return wire.write({12: wire.write({1: _message_key(chat, target, from_me=True), 2: _REVOKE})})


def media(kind: str, caption: str = "") -> bytes:
    """A notice of a picture and the like. Nothing lies behind its path: who downloads it is told 404."""
    field = next(number for number, name in _MEDIA.items() if name == kind)
    key, body = os.urandom(32), os.urandom(64)
    digest = hashlib.sha256(body).digest()
    path = f"/v/t62.7118-24/{digest.hex()}.enc"
    common: dict[int, int | bytes | str | None]
    match kind:
        case "document":  # mimetype 2, title 3, sha 4, length 5, key 7, name 8, encSHA 9, path 10, caption 20
            common = {2: "application/pdf", 3: "a.pdf", 4: digest, 5: 64, 7: key, 8: "a.pdf", 9: digest, 10: path}
            common[20] = caption or None
        case "audio":  # mimetype 2, sha 3, length 4, seconds 5, ptt 6, key 7, encSHA 8, path 9
            common = {2: "audio/ogg; codecs=opus", 3: digest, 4: 64, 5: 3, 6: 1, 7: key, 8: digest, 9: path}
        case "video":  # mimetype 2, sha 3, length 4, seconds 5, key 6, caption 7, encSHA 11, path 13
            common = {2: "video/mp4", 3: digest, 4: 64, 5: 3, 6: key, 7: caption or None, 11: digest, 13: path}
        case "sticker":  # sha 2, encSHA 3, key 4, mimetype 5, path 8, length 9
            common = {2: digest, 3: digest, 4: key, 5: "image/webp", 8: path, 9: 64}
        case _:  # image: mimetype 2, caption 3, sha 4, length 5, height 6, width 7, key 8, encSHA 9, path 11
            common = {2: "image/jpeg", 3: caption or None, 4: digest, 5: 64, 6: 8, 7: 8, 8: key, 9: digest, 11: path}
    return wire.write({field: wire.write(common)})


def location(latitude: float, longitude: float) -> bytes:
    """A place on the map."""
    return wire.write({5: wire.write({1: latitude, 2: longitude})})


def sent_elsewhere(chat: str, message: bytes) -> bytes:
    """The copy that the other devices of the one who wrote it get."""
    return wire.write({31: wire.write({1: chat, 2: message})})


def with_sender_key(group: str, distribution: bytes) -> bytes:
    """A member's message to another before its first text to the group."""
    return wire.write({2: wire.write({1: group, 2: distribution})})


def sender_key_of(message: bytes) -> bytes:
    """The distribution in a message made like `with_sender_key`; empty without."""
    return _parse(message).message(2).data(2)


def read(message: bytes) -> Content:
    """Content of a client's message; kind `unknown` for one that we do not know."""
    fields = _parse(message)
    for number, inside in _WRAPPERS.items():
        if fields.has(number):
            return read(fields.message(number).data(inside))
    if fields.has(1):
        return Content("text", fields.data(1).decode(errors="replace"))
    if fields.has(6):
        extended = fields.message(6)
        quoted = extended.message(17).data(1).decode(errors="replace") or None
        return Content("text", extended.data(1).decode(errors="replace"), quoted=quoted)
    if fields.has(46):
        said = fields.message(46)
        return Content(
            "reaction", said.data(2).decode(errors="replace"), said.message(1).data(3).decode(errors="replace")
        )
    if fields.has(12):
        return _protocol(fields.message(12))
    kind = next((name for number, name in (_MEDIA | _OTHERS).items() if fields.has(number)), "unknown")
    return Content(kind)


def _protocol(said: wire.Message) -> Content:
    target = said.message(1).data(3).decode(errors="replace") or None
    if said.number(2) == _EDIT:
        return Content("edit", read(said.data(14)).text, target)
    return Content("deletion" if said.number(2) == _REVOKE else "protocol", None, target)


def _parse(message: bytes) -> wire.Message:
    try:
        return wire.Message(message)
    except wire.MalformedMessage:
        return wire.Message(b"")
