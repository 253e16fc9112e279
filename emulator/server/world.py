"""Everything one emulator knows, in one object that its parts share. One event loop, no locks."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from emulator.events import EventLog
from emulator.rules import Rules
from emulator.server.settings import TagSettings
from emulator.server.state import Account, Device, State
from emulator.wire.words import Words

if TYPE_CHECKING:
    from emulator.server.connection import Connection
    from emulator.server.pairing_code import PendingCode


class Status(StrEnum):
    """How far a connection has come."""

    HANDSHAKE = "handshake"
    UNLINKED = "unlinked"
    LINKING = "linking"
    LOGIN = "login"
    ONLINE = "online"


@dataclass(slots=True)
class OfferedRef:
    """A ref that stands in a QR; `expires_at` is on the monotonic clock."""

    connection: Connection
    expires_at: float

    @property
    def alive(self) -> bool:
        return time.monotonic() < self.expires_at


@dataclass(frozen=True, slots=True)
class Linked:
    """Who a connection is, once it has logged in."""

    account: Account
    device: Device

    @property
    def key(self) -> tuple[str, int]:
        return self.account.number, self.device.id


@dataclass(frozen=True, slots=True)
class ReceivedMessage:
    """A message that a linked device sent. `to` is the number (or the raw address if unknown); `text` is None if it cannot be read."""

    at: int
    phone: str
    device: int
    message_id: str
    to: str
    text: str | None
    devices: int


@dataclass(slots=True)
class World:
    words: Words
    state: State
    rules: Rules
    events: EventLog = field(default_factory=EventLog)
    tags: dict[str, TagSettings] = field(default_factory=dict)
    default_settings: TagSettings = field(default_factory=TagSettings)
    connections: dict[int, Connection] = field(default_factory=dict)
    refs: dict[str, OfferedRef] = field(default_factory=dict)
    codes: dict[str, PendingCode] = field(default_factory=dict)
    """The newest pairing code of each number."""
    code_requests: dict[str, list[float]] = field(default_factory=dict)
    """Moments (monotonic) of the last code requests of each number."""
    online: dict[tuple[str, int], Connection] = field(default_factory=dict)
    """The connection of each linked device that is logged in, by number and device."""
    messages: dict[tuple[str, str], ReceivedMessage] = field(default_factory=dict)
    """By sender and message id: a message that comes again is kept once."""
    connection_ids: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def settings(self, tag: str) -> TagSettings:
        return self.tags.get(tag, self.default_settings)
