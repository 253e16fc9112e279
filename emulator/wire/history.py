"""History sync: the months of chats that a phone pours into each new device, in chunks. Source: whatsmeow proto/waHistorySync."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from emulator.wire import protobuf as wire
from emulator.wire.media import HISTORY, SealedFile, seal

BOOTSTRAP, FULL, RECENT, PUSH_NAMES, NON_BLOCKING = 0, 2, 3, 4, 5
_CHUNK = 5000
"""Messages of a chunk at most."""


@dataclass(frozen=True, slots=True)
class Chat:
    """A chat of the history: with whom, and how many messages."""

    number: str
    lid: str
    name: str
    messages: int


def chunks(chats: list[Chat], now: int) -> Iterator[tuple[int, bytes]]:
    """Kind and content of each chunk: a bootstrap with what is recent, names, then the rest; tokens and lids are in each."""
    room: list[Chat] = []
    kind, order = BOOTSTRAP, 1
    for chat in chats:
        room.append(chat)
        if sum(one.messages for one in room) >= _CHUNK:
            yield kind, _chunk(kind, order, room, now)
            room, kind, order = [], RECENT, order + 1
    if room:
        yield kind, _chunk(kind, order, room, now)
    names = [wire.write({1: f"{chat.number}@s.whatsapp.net", 2: chat.name}) for chat in chats]
    yield PUSH_NAMES, wire.write({1: PUSH_NAMES, 7: names})
    yield NON_BLOCKING, wire.write({1: NON_BLOCKING, 19: os.urandom(32)})


def _chunk(kind: int, order: int, chats: list[Chat], now: int) -> bytes:
    lids = [wire.write({1: f"{chat.number}@s.whatsapp.net", 2: f"{chat.lid}@lid"}) for chat in chats]
    conversations = [_conversation(chat, now) for chat in chats]
    return wire.write({1: kind, 2: conversations, 5: order, 6: 100, 15: lids})


def _conversation(chat: Chat, now: int) -> bytes:
    address = f"{chat.number}@s.whatsapp.net"
    messages = [wire.write({1: _message(address, number, now)}) for number in range(chat.messages)]
    # ID 1, messages 2, conversationTimestamp 12, name 13, tcToken 21, tcTokenTimestamp 22
    return wire.write({1: address, 2: messages, 12: now, 13: chat.name, 21: os.urandom(20), 22: now})


def _message(chat: str, number: int, now: int) -> bytes:
    # WebMessageInfo: key 1 (remoteJID 1, fromMe 2, ID 3), message 2, messageTimestamp 3, messageSecret 49
    key = wire.write({1: chat, 2: number % 2, 3: os.urandom(8).hex().upper()})
    return wire.write({1: key, 2: wire.write({1: os.urandom(45).hex()}), 3: now - number * 60, 49: os.urandom(32)})


def notice(kind: int, order: int, content: bytes) -> tuple[bytes, SealedFile]:
    """The message that tells a device of a chunk, and the file that it will fetch."""
    file = seal(zlib.compress(content, 1), HISTORY)
    told: dict[int, int | bytes | str] = {
        1: file.sha256,
        2: file.length,
        3: file.key,
        4: file.enc_sha256,
        5: file.direct_path,
    }
    return wire.write({12: wire.write({2: 5, 6: wire.write(told | {6: kind, 7: order, 9: 100})})}), file
