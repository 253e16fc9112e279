"""Linked devices in Postgres: one set of the library's tables for all companies, and a registry beside them.

So a session can move between hosts. Attempts still pair into a throw-away SQLite file, since 812 commits to a far database
would take 6 to 12 s; `adopt` copies the finished device in one transaction. `reach.py` decides how sessions reach Postgres.
"""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

import asyncpg

from shared.core.ids import SessionId
from shared.log import log
from workers.store.device import DeviceStore, DeviceTaken, Fence, StoreAway, StoredDevice, StoreFenced
from workers.store.postgres.copy import FENCED, NotADevice, read_file, script
from workers.store.postgres.reach import Reached
from workers.store.scratch import Scratch

T = TypeVar("T")

PERSIST_SECONDS = 25.0
"""A write is tried again for so long while Postgres is away: a fail-over takes 10 s, and no phone is asked twice."""
PAUSES = (0.25, 2.0)
LOOK_AGAIN_SECONDS = 0.5
"""Pause between a call that found the store away and the next try."""
PROBE_SECONDS = 30.0
"""Pause between probes; each occupies a connection of the pool for some seconds."""

_OVERTAKEN = """
SELECT session FROM wa_devices JOIN unnest($1::text[], $2::bigint[]) AS ours (session, token) USING (session)
WHERE wa_devices.token > ours.token
"""
_OTHER = "SELECT session FROM wa_devices WHERE jid = $1 AND session <> $2"
_TIDY_STEP = 1000
_TIDY = """
DELETE FROM whatsmeow_message_secrets WHERE ctid = ANY(ARRAY(
  SELECT ctid FROM whatsmeow_message_secrets WHERE our_jid = $1 LIMIT $2)) RETURNING 1
"""
_HOLDS = "SELECT session, jid FROM wa_devices JOIN whatsmeow_device USING (jid) WHERE jid = ANY($1)"
_FORGET = """
WITH gone AS (DELETE FROM wa_devices WHERE session = $1 AND jid = $2 AND token <= $3 RETURNING jid),
     keys AS (DELETE FROM whatsmeow_device WHERE jid IN (SELECT jid FROM gone)),
     tokens AS (DELETE FROM whatsmeow_privacy_tokens WHERE our_jid IN (SELECT jid FROM gone))
SELECT jid FROM gone
"""
_FORGET_STRANGERS = """
WITH known AS MATERIALIZED (
  SELECT split_part(split_part(their_id, ':', 1), '_', 1) AS name FROM whatsmeow_sessions
  UNION SELECT split_part(split_part(their_id, ':', 1), '_', 1) FROM whatsmeow_identity_keys
  UNION SELECT split_part(split_part(their_jid, '@', 1), ':', 1) FROM whatsmeow_contacts
  UNION SELECT substring(jid FROM '^[0-9]+') FROM whatsmeow_device
  UNION SELECT substring(lid FROM '^[0-9]+') FROM whatsmeow_device WHERE lid <> '')
DELETE FROM whatsmeow_lid_map
WHERE lid NOT IN (SELECT name FROM known WHERE name IS NOT NULL) AND pn NOT IN (SELECT name FROM known WHERE name IS NOT NULL)
"""


class PostgresStore(DeviceStore):
    """See `DeviceStore`. The tables must exist."""

    registry = "wa_devices"

    def __init__(self, postgres: Reached, scratch: Scratch) -> None:
        super().__init__(scratch)
        self.way = postgres.way
        self._postgres = postgres
        self._turn = asyncio.Lock()
        self._asking = asyncio.Lock()
        self._asked: list[str] = []
        self._answer: asyncio.Future[set[tuple[str, str]]] | None = None  # for those who are asked for next
        self._trying = False
        self._next_try = 0.0

    def _database(self, session: SessionId) -> str:  # noqa: ARG002
        return self._postgres.dsn

    async def _adopt(self, scratch: str, device: StoredDevice, fence: Fence, *, moved: bool) -> None:
        """Raises `NotADevice` when the file is not the device, `StoreAway` when Postgres stayed away for long."""
        try:
            contents = await asyncio.to_thread(read_file, scratch, device.jid)
        except sqlite3.Error as error:
            raise NotADevice(f"the device file cannot be read: {error}") from error
        statements = script(device, contents)
        ours = device.jid, device.session
        try:
            await self._persist(lambda: self._postgres.connections.script(statements), fence)
        except asyncpg.UniqueViolationError:
            other = next((session for (session,) in await self._ask(_OTHER, *ours)), None)
            if moved and other is not None:
                raise DeviceTaken(other) from None
            # WhatsApp has just given this name to the new device, so the session that had it is linked no more.
            log.warning("device.taken-over", session=device.session, other=other)
            await self._write(fence, "DELETE FROM wa_devices WHERE jid = $1 AND session <> $2", *ours)
            await self._persist(lambda: self._postgres.connections.script(statements), fence)
        except asyncpg.PostgresError as error:
            if error.sqlstate != FENCED:
                raise
            there = await self.device(device.session)
            raise StoreFenced(there.token if there else None) from None

    async def overtaken(self, tokens: Mapping[SessionId, int]) -> list[SessionId]:
        ours = list(tokens), list(tokens.values())
        return [session for (session,) in await self._ask(_OVERTAKEN, *ours)]

    async def holds(self, device: StoredDevice) -> bool:
        """Takes its time when starts are paced."""
        if pace := self._postgres.pace:
            await self._turn.acquire()
            asyncio.get_running_loop().call_later(pace, self._turn.release)
        self._asked.append(device.jid)
        self._answer = self._answer or asyncio.ensure_future(self._those_there())
        return (device.session, device.jid) in await asyncio.shield(self._answer)

    async def _those_there(self) -> set[tuple[str, str]]:
        """Sessions and jids of devices that are there, by one question for all who came while another was under way."""
        async with self._asking:
            asked, self._asked, self._answer = self._asked, [], None
            return set(map(tuple, await self._ask(_HOLDS, asked)))

    async def tidy(self, device: StoredDevice) -> int:
        went, step = 0, _TIDY_STEP
        while step == _TIDY_STEP:
            step = len(await self._ask(_TIDY, device.jid, _TIDY_STEP))
            went += step
        return went

    async def _forget(self, device: StoredDevice, fence: Fence) -> bool:
        return bool(await self._write(fence, _FORGET, device.session, device.jid, fence.token))

    async def forget_strangers(self) -> None:
        await self._ask(_FORGET_STRANGERS)

    async def watch(self) -> None:
        """Probe for ever; what changes is logged, and seen in `away`."""
        while True:
            with suppress(StoreAway):  # said already
                await self._ask("SELECT 1")
            await asyncio.sleep(PROBE_SECONDS)

    async def _ask(self, statement: str, *values: object) -> list[Any]:
        return await self._noticed(lambda: self._fetch(statement, *values))

    async def _write(self, fence: Fence, statement: str, *values: object) -> list[Any]:
        return await self._persist(lambda: self._fetch(statement, *values), fence)

    async def _fetch(self, statement: str, *values: object) -> list[Any]:
        return await self._postgres.connections.run(lambda connection: connection.fetch(statement, *values))

    async def _persist(self, write: Callable[[], Awaitable[T]], fence: Fence) -> T:
        """Make a write until it succeeds, for `PERSIST_SECONDS`. `write` is idempotent: a commit whose answer was lost is
        made again. Raises `StoreFenced` if the lease is lost between two tries, and `StoreAway`."""
        pause, longest = PAUSES
        until = asyncio.get_running_loop().time() + PERSIST_SECONDS
        while True:
            try:
                return await self._noticed(write)
            except StoreAway:
                if asyncio.get_running_loop().time() + pause > until:
                    raise
                await asyncio.sleep(pause)
                if not fence.stands():
                    raise StoreFenced from None
                pause = min(2 * pause, longest)

    async def _noticed(self, call: Callable[[], Awaitable[T]]) -> T:
        """Make a call, and keep and log whether the store is away. Returns the call's result.

        While it is away, one call at a time tries, and the others fail at once: each would wait for ten seconds, and the
        sessions of a dead holder are taken up one after the other.
        """
        loop = asyncio.get_running_loop()
        looking = self.away
        if looking and (self._trying or loop.time() < self._next_try):
            raise StoreAway("the store has just been seen to be away")
        self._trying = looking
        try:
            result = await call()
        except StoreAway as error:
            self._next_try = loop.time() + LOOK_AGAIN_SECONDS
            if not self.away:
                self.away = True
                log.error("store.away", error=str(error))  # noqa: TRY400 - the trace adds nothing
            raise
        finally:
            if looking:
                self._trying = False
        if self.away:
            self.away = False
            log.info("store.back")
        return result
