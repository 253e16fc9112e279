"""Everything one emulator knows, in one object that its parts share, and a connection as they see it. One event loop, no locks."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from emulator.events import EventLog, Kind
from emulator.faults import Fault, Step
from emulator.life import Course
from emulator.rules import Rule, Rules
from emulator.server.settings import TagSettings
from emulator.server.state import Account, Device, State
from emulator.wire.app_state import Collection
from emulator.wire.content import Content
from emulator.wire.nodes import Node
from emulator.wire.payload import Registration
from emulator.wire.words import Words


class Status(StrEnum):
    """The progress of a connection."""

    HANDSHAKE = "handshake"
    UNLINKED = "unlinked"
    LINKING = "linking"
    LOGIN = "login"
    ONLINE = "online"


class Peer(Protocol):
    """One client's connection (connection.Connection), as those see it who answer it: they are below it and cannot import it.

    `tag` is the client's group; `phone` the number, once it is known; `linked` the device, once it has logged in.
    """

    world: World
    id: int
    tag: str
    opened_at: int
    status: Status
    phone: str | None
    linked: Linked | None
    registration: Registration | None
    client_static: bytes
    refs_acknowledged: bool
    qr_is_dead: bool

    @property
    def settings(self) -> TagSettings: ...

    def log(self, kind: Kind, **detail: object) -> None: ...

    def strike(self, fault: Fault) -> Rule | None: ...

    def strike_for(self, fault: Fault, other: str | None, *, device: int | None = None) -> Rule | None: ...

    async def passes(self, step: Step) -> bool: ...

    def spawn(self, work: Coroutine[object, object, None]) -> None: ...

    def send(self, node: Node) -> None: ...

    def answer(self, query: Node, *content: Node) -> None: ...

    def refuse(self, query: Node, status: int, text: str) -> None: ...

    async def query(self, content: Node) -> Node: ...

    def notify(self, kind: str, *content: Node) -> None: ...

    def mute(self) -> None: ...

    def cut(self, reason: str) -> None: ...

    async def fail(self, node: Node, reason: str) -> None: ...

    def failure(self, status: int, **more: object) -> Node: ...


@dataclass(slots=True)
class OfferedRef:
    """A ref that stands in a QR; `expires_at` is on the monotonic clock."""

    connection: Peer
    expires_at: float

    @property
    def alive(self) -> bool:
        return time.monotonic() < self.expires_at


@dataclass(slots=True)
class PendingCode:
    """A code that a client asked for. `finish` is there while the phone waits for companion_finish, and yields the bundle."""

    ref: bytes
    number: str
    connection: Peer
    registration: Registration
    wrapped: bytes
    expires_at: float
    tries: int = 0
    finish: asyncio.Future[bytes] | None = None

    @property
    def alive(self) -> bool:
        return time.monotonic() < self.expires_at and self.connection.id in self.connection.world.connections


@dataclass(frozen=True, slots=True)
class Linked:
    """The device of a connection that has logged in."""

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
    kind: str = "text"
    target: str | None = None
    quoted: str | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """A message as one phone has opened it; `lost`: the phone has no session for it. `own`: it is the sender's own
    phone."""

    reader: Account
    content: Content | None
    own: bool = False
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """A group; the first of its `members` (numbers) made it."""

    id: str
    subject: str
    members: tuple[str, ...]
    made_at: int


class Phones(Protocol):
    """The phones (phone.talk.Talk), as the server sees them: they are above it."""

    def take(self, peer: Peer, linked: Linked, node: Node) -> list[Opened]: ...

    def answer(self, peer: Peer, linked: Linked, node: Node, opened: list[Opened]) -> None: ...

    def hear(self, peer: Peer, linked: Linked, node: Node) -> None: ...

    def forget(self, number: str, device: int | None = None) -> None: ...

    def live(self, peer: Peer, linked: Linked, *, arriving: bool = False) -> None: ...


@dataclass(slots=True)
class World:
    words: Words
    state: State
    rules: Rules
    events: EventLog = field(default_factory=EventLog)
    tags: dict[str, TagSettings] = field(default_factory=dict)
    default_settings: TagSettings = field(default_factory=TagSettings)
    connections: dict[int, Peer] = field(default_factory=dict)
    refs: dict[str, OfferedRef] = field(default_factory=dict)
    codes: dict[str, PendingCode] = field(default_factory=dict)
    """The newest pairing code of each number."""
    code_requests: dict[str, list[float]] = field(default_factory=dict)
    """Moments (monotonic) of the last code requests of each number."""
    online: dict[tuple[str, int], Peer] = field(default_factory=dict)
    """The connection of each linked device that is logged in, by number and device."""
    messages: dict[tuple[str, str], ReceivedMessage] = field(default_factory=dict)
    """By sender and message id: a message that comes again is kept once."""
    mail: dict[tuple[str, int], dict[tuple[str, str, str, str], Node]] = field(default_factory=dict)
    """Stanzas that each linked device has not acknowledged yet (mail.py)."""
    groups: dict[str, Group] = field(default_factory=dict)
    media: dict[str, bytes] = field(default_factory=dict)
    """Files on the media host, by path."""
    app_state: dict[str, dict[str, Collection]] = field(default_factory=dict)
    """Collections that the devices of each number share."""
    course: Course = field(default_factory=Course)
    phones: Phones = field(init=False)
    """Set by whoever makes the world: the phones need it to be there."""
    ids: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    connection_ids: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def next_id(self) -> str:
        """An id that no stanza of this server had."""
        return f"{int(time.time())}-{next(self.ids)}"

    def settings(self, tag: str) -> TagSettings:
        return self.tags.get(tag, self.default_settings)
