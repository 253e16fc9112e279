"""A linked device, and the interface of the stores: durable keys, and a registry that says whose they are.

The registry is the truth about who is linked; Redis only knows what is going on now.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from enum import IntEnum, StrEnum
from typing import Any

from shared.core import phone
from shared.core.clock import now_ms
from shared.core.datum import Datum, replace
from shared.core.ids import SessionId
from shared.core.protocol import DeviceView
from workers.store.scratch import Scratch


class Way(StrEnum):
    """The way in which a store is reached; the last three lead to Postgres."""

    FILES = "files"
    OWN = "own-pgbouncer"
    THEIRS = "their-pooler"
    DIRECT = "direct"


class Told(IntEnum):
    """The last event that was told of a device. It is kept beside the device, so that no death loses an event."""

    NOTHING = 0
    LINKED = 1
    VERIFIED = 2


class StoredDevice(Datum):
    """A linked device: `jid` is `number:device@s.whatsapp.net`; `database` is what a holder opens.

    `parked`: why it is not to be held, if so. `again_at`: when a parked one is tried again (ms since the epoch); 0 for
    never. `told`: the last event that the integrator has heard of it. `token`: the newest fencing token used for it.
    """

    session: SessionId
    jid: str
    linked_at: int
    database: str
    parked: str = ""
    token: int = 0
    again_at: int = 0
    told: int = Told.VERIFIED

    @property
    def phone(self) -> str:
        """The owner's phone, E.164."""
        return phone.of_jid(self.jid)

    def view(self, name: str) -> DeviceView:
        """The device as the page and the integrator see it, under the name that the phone shows."""
        return DeviceView(phone=phone.masked(self.phone), name=name, linked_at=self.linked_at)


EXPORTED = "exported"
"""The mark of a parked device that was handed back: another client acts as it now, and is never to be logged out by us."""


class StoreAway(OSError):
    """The store is out of reach for now, which says nothing of any device: try again. The text holds no secret."""


class StoreRefused(Exception):
    """The store may not be used as it is configured; the text is the rest of a sentence about DATABASE_URL."""


class StoreFenced(Exception):
    """The registry names a newer owner of the session: the caller's lease is lost, and nothing was written. `newest` is
    the token there; None if the caller's own worker has learned of the loss first."""

    def __init__(self, newest: int | None = None) -> None:
        super().__init__("a newer owner is registered")
        self.newest = newest


class DeviceTaken(Exception):
    """Another session has registered this very device, and nothing was written. `session` is that one."""

    def __init__(self, session: SessionId) -> None:
        super().__init__(f"{session} has registered this device")
        self.session = session


class Fence(Datum):
    """The right by which a device is written: the fencing token of a lease, and whether that lease still `stands`.

    The token is compared in the store itself, so that a worker that wakes up late changes nothing. `stands` is asked
    between the tries of a write that takes long."""

    token: int
    stands: Callable[[], bool] = lambda: True


COLUMNS = "session, jid, linked_at, parked, token, again_at, told"
"""The columns of the registry, in both stores."""
_CLAIM = "UPDATE {registry} SET token = $2 WHERE session = $1 AND token < $2 RETURNING {columns}"
# A write that comes late must not hit the session's next device: its jid is another.
_NOTE = """
UPDATE {registry} SET parked = $4, again_at = $5, told = $6, token = $3
WHERE session = $1 AND jid = $2 AND token <= $3 RETURNING session
"""


class DeviceStore(ABC):
    """A place for linked devices. Every call is durable when it returns, and raises `StoreAway` or another `OSError`
    if the store is out of reach. Every write names its right, and raises `StoreFenced` if the store knows a newer one."""

    registry: str
    """The name of the registry's table."""
    way = Way.FILES
    away = False
    """True if the store could not be reached when it was last probed. Held sessions do not notice by themselves: they
    say that they are connected, and only their sends fail. A disk is not probed: if it fails, the host does."""

    def __init__(self, scratch: Scratch) -> None:
        self.scratch = scratch

    async def adopt(
        self, session: SessionId, scratch: str, jid: str, linked_at: int, fence: Fence, *, parked: str = ""
    ) -> StoredDevice:
        """Make a finished device durable and register it, in place of an older one; `parked` if it is not to stay. It is to
        be taken up all the same, if its attempt does not log it out.

        A jid belongs to one session. If another session has the jid of a device that was linked a moment ago, that session is
        linked no more: WhatsApp has just given its jid away. It is forgotten."""
        database, again_at = self._database(session), linked_at if parked else 0
        device = StoredDevice(session, jid, linked_at, database, parked, fence.token, again_at, Told.NOTHING)
        await self._adopt(scratch, device, fence, moved=False)
        return device

    async def move_in(self, scratch: str, device: StoredDevice, fence: Fence) -> StoredDevice:
        """Register a device that was linked elsewhere, as it is. Its jid proves nothing: `DeviceTaken` if another has it."""
        ours = replace(device, database=self._database(device.session), token=fence.token)
        await self._adopt(scratch, ours, fence, moved=True)
        return ours

    async def held_as(self, phones: Iterable[str]) -> list[StoredDevice]:
        """The devices of these phones (E.164) that are held, or will be tried again."""
        patterns = [f"{number.removeprefix('+')}:%" for number in phones]
        wanted = " OR ".join(f"jid LIKE ${place}" for place, _ in enumerate(patterns, 1)) or "FALSE"
        return await self._rows(f"WHERE (parked = '' OR again_at > 0) AND ({wanted})", *patterns)

    async def device(self, session: SessionId) -> StoredDevice | None:
        """The session's device, or None; parked ones as well."""
        found = await self._rows("WHERE session = $1", session)
        return found[0] if found else None

    async def registered(self) -> list[StoredDevice]:
        """Every registered device, parked ones as well."""
        return await self._rows("")

    async def to_hold(self) -> list[StoredDevice]:
        """Registered devices that are to be held now, also parked ones whose time has come."""
        return await self._rows("WHERE parked = '' OR again_at BETWEEN 1 AND $1", now_ms())

    async def claim(self, session: SessionId, fence: Fence) -> StoredDevice | None:
        """Raise the registered token, and return the session's device; None when there is none. A take-over must
        call this before it connects: from then on every older owner is refused. Raises `StoreFenced` unless the token
        is newer than the registered one."""
        claiming = _CLAIM.format(registry=self.registry, columns=COLUMNS)
        if found := await self._ask(claiming, session, fence.token):
            return self._device(*found[0])
        if (device := await self.device(session)) is not None:
            raise StoreFenced(device.token)
        return None

    @abstractmethod
    async def overtaken(self, tokens: Mapping[SessionId, int]) -> list[SessionId]:
        """The sessions of which the registry names a newer token than `tokens` does: somebody has taken them over."""

    @abstractmethod
    async def holds(self, device: StoredDevice) -> bool:
        """True if the session's device and its keys are still there; the library cannot delete them from then on. Must be
        asked under the session's lease, right before each start: without them the library aborts the whole process."""

    @abstractmethod
    async def tidy(self, device: StoredDevice) -> int:
        """Throw away what only grows and nobody reads, while the session is held, and keep its write-ahead log small;
        the number of rows that went. The secrets of messages serve reactions, polls and edits, which we never open."""

    async def note(self, device: StoredDevice, fence: Fence) -> None:
        """Keep `parked`, `again_at` and `told` as they are in `device`. Nothing happens to another of its session."""
        values = device.session, device.jid, fence.token, device.parked, device.again_at, int(device.told)
        if not await self._write(fence, _NOTE.format(registry=self.registry), *values):
            await self._refuse_older(device.session, fence)

    async def forget(self, device: StoredDevice, fence: Fence) -> None:
        """Remove the device and its keys; another of its session stays. Idempotent. Only when no holder has it: it
        would stay online, without keys."""
        if not await self._forget(device, fence):
            await self._refuse_older(device.session, fence)

    async def _refuse_older(self, session: SessionId, fence: Fence) -> None:
        """Raise `StoreFenced` if the session has a newer owner, after a write that found no device to change."""
        device = await self.device(session)
        if device is not None and device.token > fence.token:
            raise StoreFenced(device.token)

    @abstractmethod
    async def forget_strangers(self) -> None:
        """Remove what is known of people whom no device knows any more: devices share that knowledge."""

    @abstractmethod
    def _database(self, session: SessionId) -> str:
        """The name by which a holder opens the session's device."""

    @abstractmethod
    async def _adopt(self, scratch: str, device: StoredDevice, fence: Fence, *, moved: bool) -> None:
        """Take the keys of `device` out of the file `scratch`; see `adopt`."""

    async def _rows(self, where: str, *values: str | int) -> list[StoredDevice]:
        """Registered devices. `where` is the end of a statement; `$1` stands for the first of `values`."""
        found = await self._ask(f"SELECT {COLUMNS} FROM {self.registry} {where}", *values)  # noqa: S608 - our own words
        return [self._device(*row) for row in found]

    def _device(self, session: SessionId, jid: str, linked_at: int, *more: Any) -> StoredDevice:
        return StoredDevice(session, jid, linked_at, self._database(session), *more)

    @abstractmethod
    async def _forget(self, device: StoredDevice, fence: Fence) -> bool:
        """Remove the device if the registry names this jid and no newer token. True if it was there."""

    @abstractmethod
    async def _ask(self, statement: str, *values: str | int) -> list[Any]:
        """The rows that a statement returns; it is whole in itself. `$1` stands for the first of `values`."""

    @abstractmethod
    async def _write(self, fence: Fence, statement: str, *values: str | int) -> list[Any]:
        """As `_ask`, and tried for longer if the store is away. The statement is idempotent."""
