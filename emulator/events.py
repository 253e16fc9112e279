"""Events in their order, for tests that wait and for people who look."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum

MOST_EVENTS = 50_000


class Kind(StrEnum):
    """The kind of an event. The comment gives the keys of `detail`."""

    CONNECTION_OPENED = "connection.opened"  # host
    CONNECTION_REFUSED = "connection.refused"  # status
    CONNECTION_CLOSED = "connection.closed"  # reason
    CLIENT_VIOLATION = "client.violation"  # reason: the client did what a real server may not forgive
    CLIENT_REGISTERED = (
        "client.registered"  # os, platform, version, and what it wants of history: an unlinked client connected
    )
    CLIENT_OUTDATED = "client.outdated"  # revision, minimum: refused with 405
    QR_OFFERED = "qr.offered"  # refs: how many
    QR_SCANNED = "qr.scanned"  # outcome
    CODE_REQUESTED = "code.requested"  # display, push
    CODE_REFUSED = "code.refused"  # status
    CODE_TYPED = "code.typed"  # outcome
    PHONE_NOTIFIED = "phone.notified"  # text: what the phone shows by itself
    PAIRING_CONFIRMED = "pairing.confirmed"  # device: the phone agreed, pair-success is on its way
    PAIRING_FAILED = "pairing.failed"  # status, reason: the client refused pair-success
    DEVICE_LINKED = "device.linked"  # device: the client signed
    DEVICE_LOGGED_IN = "device.logged-in"  # device, revision: `success` was sent
    DEVICE_CONNECTED = "device.connected"  # device, waited: passive/active was answered, and so much mail handed over
    DEVICE_UNLINKED = "device.unlinked"  # device, reason
    PREKEYS_UPLOADED = "prekeys.uploaded"  # device, count
    KEEPALIVE = "keepalive"  # answered
    MESSAGE_RECEIVED = "message.received"  # message_id, to, text, devices
    WEB_PAGE_SERVED = "web-page.served"  # page: the present web version was asked for
    MESSAGE_RESENT = "message.resent"  # message_id, to: sealed anew after a retry receipt
    MESSAGE_UNREADABLE = (
        "message.unreadable"  # message_id, reader, reason: a phone has no session for it, and asks for it again
    )
    MESSAGE_SENT_AGAIN = "message.sent-again"  # message_id, by: a phone did so, because a linked device asked
    PEER_MESSAGE_RECEIVED = "peer-message.received"  # message_id: a linked device asked its own phone for something
    RECEIPT_SENT = (
        "receipt.sent"  # message_id, type (delivered, read, played, retry), by: of a phone, for a linked device
    )
    RECEIPT_RECEIVED = "receipt.received"  # message_id, type, to: of a linked device, for what a phone wrote
    LIFE = "life"  # life, device: something of ordinary life happened (life.py)
    APP_STATE_FETCHED = "app-state.fetched"  # collection, asked, version: a device that had `asked` got what came since
    MEDIA_SERVED = "media.served"  # path, bytes
    STANZA_UNKNOWN = "stanza.unknown"  # stanza
    FAULT_FIRED = "fault.fired"  # fault, rule
    EMULATOR_FAILED = "emulator.failed"  # reason: a bug of the emulator


Detail = Mapping[str, str | int | float | bool | None]


@dataclass(frozen=True, slots=True)
class Event:
    """`id` counts from 1; `at` is milliseconds since the epoch; `phone` is digits, as far as known; `connection` counts from 1."""

    id: int
    at: int
    kind: Kind
    tag: str
    phone: str | None
    connection: int | None
    detail: Detail

    def json(self) -> dict[str, object]:
        return asdict(self)


class EventLog:
    """The last events, and a way to wait for the next."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque(maxlen=MOST_EVENTS)
        self._last = 0
        self._news = asyncio.Event()
        self.closed = False

    def close(self) -> None:
        """End the record: nothing more will happen, and every waiter is let go."""
        self.closed = True
        self._news.set()

    @property
    def last(self) -> int:
        """The id of the newest event; 0 before the first."""
        return self._last

    def add(
        self, kind: Kind, *, tag: str = "", phone: str | None = None, connection: int | None = None, **detail: object
    ) -> Event:
        plain = {
            key: value if isinstance(value, str | int | float | bool | None) else str(value)
            for key, value in detail.items()
        }
        self._last += 1
        event = Event(self._last, int(time.time() * 1000), kind, tag, phone, connection, plain)
        self._events.append(event)
        news, self._news = self._news, asyncio.Event()
        news.set()
        return event

    def since(self, after: int) -> list[Event]:
        """The events with an id above `after`, oldest first."""
        found = []
        for event in reversed(self._events):
            if event.id <= after:
                break
            found.append(event)
        return found[::-1]

    async def wait(self, after: int, seconds: float) -> None:
        """Returns when there is an event above `after`, after `seconds`, or when the log is closed."""
        if self._last > after or self.closed:
            return
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return
