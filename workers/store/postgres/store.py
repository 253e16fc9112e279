"""Linked devices in Postgres: one set of the library's tables for all companies, and a registry beside them.

A session thus moves between hosts. Attempts still pair into a throw-away SQLite file (812 commits to a far database would
take 6 to 12 s); `adopt` copies the finished device over in one transaction. How sessions reach Postgres is decided by
`store_open.py`; here are the reads and writes.
"""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

import asyncpg
import structlog

from shared.core.ids import SessionId
from workers.store.device import StoreAway, StoredDevice
from workers.store.postgres.connections import Connections, Work
from workers.store.postgres.copy import NotADevice, read_file, script
from workers.store.scratch import Scratch

log = structlog.get_logger()

T = TypeVar("T")

PERSIST_SECONDS = 25.0
"""A write is tried again for this long while Postgres is away: a fail-over takes some 10 s, and a phone that has agreed
cannot be asked again."""
PAUSES = (0.25, 2.0)
LOOK_AGAIN_SECONDS = 0.5
"""After a call that found the store away, until the next may try."""
PROBE_SECONDS = 30.0
"""Between probes; each occupies a connection of the pool for some seconds."""

_DEVICE = "SELECT session, jid, linked_at, parked FROM wa_devices"
_HOLDS = (
    "SELECT EXISTS (SELECT FROM wa_devices JOIN whatsmeow_device USING (jid) "
    "WHERE wa_devices.session = $1 AND wa_devices.jid = $2)"
)
_FORGET = """
WITH gone AS (DELETE FROM wa_devices WHERE session = $1 AND jid = $2 RETURNING jid),
     keys AS (DELETE FROM whatsmeow_device WHERE jid IN (SELECT jid FROM gone))
DELETE FROM whatsmeow_privacy_tokens WHERE our_jid IN (SELECT jid FROM gone)
"""


@dataclass(slots=True)
class RetryPace:
    """Lets one pass every `seconds`, in turn."""

    seconds: float
    _next: float = 0.0

    async def wait(self) -> None:
        """Until it is our turn."""
        now = asyncio.get_running_loop().time()
        turn = self._next = max(now, self._next + self.seconds)
        await asyncio.sleep(turn - now)


class PostgresStore:
    """See `DeviceStore`. All tables exist already; `library_dsn` is what holders are given."""

    def __init__(self, connections: Connections, library_dsn: str, scratch: Scratch, *, pace: float = 0.0) -> None:
        """`pace`: seconds between two starts, for when each leaves connections behind for a while."""
        self._connections = connections
        self._dsn = library_dsn
        self._scratch = scratch
        self._pace = RetryPace(pace)
        self._away = False
        self._trying = False
        self._next_try = 0.0

    @property
    def away(self) -> bool:
        return self._away

    def scratch(self, session: SessionId, attempt: int) -> str:
        return self._scratch.path(session, attempt)

    def discard(self, scratch: str) -> None:
        self._scratch.discard(scratch)

    async def adopt(
        self, session: SessionId, scratch: str, jid: str, linked_at: int, *, parked: str = ""
    ) -> StoredDevice:
        """Raises `NotADevice` when the file is not the device, `StoreAway` when Postgres stayed away for long."""
        try:
            device = await asyncio.to_thread(read_file, scratch, jid)
        except sqlite3.Error as error:
            raise NotADevice(f"the device file cannot be read: {error}") from error
        statements = script(session, device, linked_at, parked=parked)
        try:
            await self._persist(lambda: self._connections.script(statements))
        except asyncpg.UniqueViolationError:
            # WhatsApp has just given this name to the new device, so whoever had it is linked no more.
            log.warning("device.taken-over", session=session)
            await self._write("DELETE FROM wa_devices WHERE jid = $1 AND session <> $2", jid, session)
            await self._persist(lambda: self._connections.script(statements))
        return StoredDevice(session, jid, linked_at, self._dsn, parked)

    async def device(self, session: SessionId) -> StoredDevice | None:
        found = await self._run(lambda connection: connection.fetch(f"{_DEVICE} WHERE session = $1", session))
        return self._device(*found[0]) if found else None

    async def holds(self, device: StoredDevice) -> bool:
        """Takes its time when starts are paced."""
        if self._pace.seconds:
            await self._pace.wait()
        return bool(await self._run(lambda connection: connection.fetchval(_HOLDS, device.session, device.jid)))

    async def held_by_nobody(self, owned: Callable[[SessionId], bool]) -> list[StoredDevice]:
        rows = await self._run(lambda connection: connection.fetch(f"{_DEVICE} WHERE parked = ''"))
        return [device for device in (self._device(*row) for row in rows) if not owned(device.session)]

    # A write that comes late must not hit the session's next device: its jid is another.

    async def park(self, device: StoredDevice, why: str) -> None:
        await self._write(
            "UPDATE wa_devices SET parked = $3 WHERE session = $1 AND jid = $2", device.session, device.jid, why
        )

    async def forget(self, device: StoredDevice) -> None:
        await self._write(_FORGET, device.session, device.jid)

    async def watch(self) -> None:
        """Probe for ever; what changes is logged, and seen in `away`."""
        while True:
            with suppress(StoreAway):  # said already
                await self._run(lambda connection: connection.fetchval("SELECT 1"))
            await asyncio.sleep(PROBE_SECONDS)

    async def _write(self, statement: str, *values: object) -> None:
        await self._persist(lambda: self._connections.run(lambda connection: connection.execute(statement, *values)))

    async def _persist(self, write: Callable[[], Awaitable[object]]) -> None:
        """Until it is written. `write` is idempotent: a commit whose answer was lost is done once more."""
        pause, longest = PAUSES
        until = asyncio.get_running_loop().time() + PERSIST_SECONDS
        while True:
            try:
                await self._noticed(write)
            except StoreAway:
                if asyncio.get_running_loop().time() + pause > until:
                    raise
                await asyncio.sleep(pause)
                pause = min(2 * pause, longest)
            else:
                return

    async def _run(self, work: Work[T]) -> T:
        return await self._noticed(lambda: self._connections.run(work))

    async def _noticed(self, call: Callable[[], Awaitable[T]]) -> T:
        """What `call` returns; whether the store is away is kept and logged.

        While it is away one call at a time goes to see, and the others fail at once: each would wait for ten seconds, and
        the sessions of a dead holder are taken up one after the other.
        """
        loop = asyncio.get_running_loop()
        looking = self._away
        if looking and (self._trying or loop.time() < self._next_try):
            raise StoreAway("the store has just been seen to be away")
        self._trying = looking
        try:
            result = await call()
        except StoreAway as error:
            self._next_try = loop.time() + LOOK_AGAIN_SECONDS
            if not self._away:
                self._away = True
                log.error("store.away", error=str(error))  # noqa: TRY400 - the trace adds nothing
            raise
        finally:
            if looking:
                self._trying = False
        if self._away:
            self._away = False
            log.info("store.back")
        return result

    def _device(self, session: str, jid: str, linked_at: int, parked: str) -> StoredDevice:
        return StoredDevice(SessionId(session), jid, linked_at, self._dsn, parked)
