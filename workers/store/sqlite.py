"""Linked devices on a disk: one SQLite file for each session below `DATA_DIR`. Suits one host, whose workers share the folder."""

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import structlog

from shared.core.ids import SessionId, WorkerId
from workers.engine.devices import device_in, guard, open_file, sync
from workers.store.device import DeviceStore, DeviceTaken, Fence, StoreAway, StoredDevice, StoreFenced
from workers.store.scratch import Scratch

log = structlog.get_logger()

P = ParamSpec("P")
R = TypeVar("R")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS devices (
    session   TEXT PRIMARY KEY,
    jid       TEXT NOT NULL,
    linked_at INTEGER NOT NULL,   -- ms since the epoch
    parked    TEXT NOT NULL DEFAULT '',  -- why it is not to be held: its keys are in use elsewhere, say
    token     INTEGER NOT NULL DEFAULT 0, -- the newest fencing token under which anybody has written
    again_at  INTEGER NOT NULL DEFAULT 0, -- ms since the epoch: when a parked device is tried again; 0 for never
    told      INTEGER NOT NULL DEFAULT 2  -- what the integrator has heard of it: 0 nothing, 1 linked, 2 verified
) STRICT
"""
#: Columns of the registry that older versions did not make.
_LATER = {
    "token": "INTEGER NOT NULL DEFAULT 0",
    "again_at": "INTEGER NOT NULL DEFAULT 0",
    "told": "INTEGER NOT NULL DEFAULT 2",
}
#: A registry of older versions may name a jid twice. WhatsApp gave it to the newest; files stay, nobody resumes from them.
_ONE_EACH = """
DELETE FROM devices WHERE EXISTS (
  SELECT 1 FROM devices AS better WHERE better.jid = devices.jid AND (better.parked = '', better.linked_at, better.session)
  > (devices.parked = '', devices.linked_at, devices.session))
"""
_UNIQUE = "CREATE UNIQUE INDEX IF NOT EXISTS devices_jid ON devices (jid)"
_TIDY_STEP = 1000
_TIDY = "DELETE FROM whatsmeow_message_secrets WHERE rowid IN (SELECT rowid FROM whatsmeow_message_secrets LIMIT ?)"
_COLUMNS = "session, jid, linked_at, parked, token, again_at, told"


def devices_folder(data: Path) -> Path:
    """The folder of the device files below DATA_DIR."""
    return data.resolve() / "devices"


def _in_thread(work: Callable[P, R]) -> Callable[P, Coroutine[Any, Any, R]]:
    """Make a method of blocking calls one that is awaited."""

    @wraps(work)
    async def run(*args: P.args, **more: P.kwargs) -> R:
        return await asyncio.to_thread(work, *args, **more)

    return run


class SqliteStore(DeviceStore):
    """One file per session below `folder`; see `DeviceStore`."""

    def __init__(self, folder: Path, worker: WorkerId) -> None:
        super().__init__(Scratch(folder, worker))
        self._devices = devices_folder(folder)
        self._registry = folder.resolve() / "registry.sqlite3"
        self._devices.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._open() as registry:
            registry.execute("PRAGMA journal_mode=WAL")
            registry.execute("BEGIN IMMEDIATE")  # workers of one host may start together
            registry.execute(_SCHEMA)
            there = {row[1] for row in registry.execute("PRAGMA table_info(devices)")}
            for column in [one for one in _LATER if one not in there]:
                registry.execute(f"ALTER TABLE devices ADD COLUMN {column} {_LATER[column]}")
            if doubles := registry.execute(_ONE_EACH).rowcount:
                log.warning("store.doubles-dropped", count=doubles)
            registry.execute(_UNIQUE)

    def close(self) -> None:
        """Throw away what this worker's attempts have left."""
        self._scratch.close()

    async def claim(self, session: SessionId, fence: Fence) -> StoredDevice | None:
        await self._raise_token(session, fence.token)
        return await self.device(session)

    async def overtaken(self, tokens: Mapping[SessionId, int]) -> list[SessionId]:
        rows = await self.registered()
        return [device.session for device in rows if device.token > tokens.get(device.session, device.token)]

    async def forget_strangers(self) -> None:
        """Each file is of one device, and goes with it."""

    def _database(self, session: SessionId) -> str:
        return str(self._devices / f"{session}.sqlite3")

    @_in_thread
    def _adopt(self, scratch: str, device: StoredDevice, fence: Fence, *, moved: bool) -> None:  # noqa: ARG002
        # The linker wrote without syncs. Synced here, moved in one step, and registered only then: killed in between,
        # the file is an orphan that nobody resumes, never a registered device without its keys. The first statement
        # takes the registry's lock, so that nobody who forgets the older device removes this one's file.
        target = Path(device.database)
        sync(Path(scratch))
        with self._open() as registry:
            registry.execute("BEGIN IMMEDIATE")
            other = _vacate(registry, device, moved)
            written = registry.execute(
                f"INSERT INTO devices ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (session) DO UPDATE "  # noqa: S608
                "SET jid = excluded.jid, linked_at = excluded.linked_at, parked = excluded.parked, "
                "token = excluded.token, again_at = excluded.again_at, told = excluded.told "
                "WHERE token < excluded.token OR (token = excluded.token AND jid = excluded.jid)",
                (
                    *(device.session, device.jid, device.linked_at, device.parked, device.token),
                    *(device.again_at, device.told),
                ),
            ).rowcount
            if not written:
                raise StoreFenced(_newest(registry, device.session))
            if other is not None:
                log.warning("device.taken-over", session=device.session, other=other)
                self.discard(self._database(other))
            self.discard(device.database)
            Path(scratch).replace(target)
            sync(target.parent)

    @_in_thread
    def _raise_token(self, session: SessionId, token: int) -> None:
        with self._open() as registry:
            written = registry.execute(
                "UPDATE devices SET token = ? WHERE session = ? AND token < ?", (token, session, token)
            ).rowcount
            newest = None if written else _newest(registry, session)
        if newest is not None:
            raise StoreFenced(newest)

    async def _rows(self, where: str, *values: str | int) -> list[StoredDevice]:
        found = await self._select(where, {str(place): one for place, one in enumerate(values, 1)})
        return [StoredDevice(session, jid, at, self._database(session), *more) for session, jid, at, *more in found]

    @_in_thread
    def _select(self, where: str, values: dict[str, str | int]) -> list[Any]:
        with self._open() as registry:
            return registry.execute(f"SELECT {_COLUMNS} FROM devices {where}", values).fetchall()  # noqa: S608

    @_in_thread
    def holds(self, device: StoredDevice) -> bool:
        with _translated():
            there = device_in(device.database, device.jid)
            if there:
                guard(device.database)
            return there

    @_in_thread
    def tidy(self, device: StoredDevice) -> int:
        # In steps: the library waits for the file for 5 s, and then fails.
        went, step = 0, _TIDY_STEP
        with _translated(), open_file(device.database, "rw") as file:
            file.isolation_level = None
            while step == _TIDY_STEP:
                step = file.execute(_TIDY, (_TIDY_STEP,)).rowcount
                went += step
            file.execute(
                "PRAGMA wal_checkpoint(TRUNCATE)"
            )  # who reads at this moment keeps it as it is, until next time
        return went

    # A write that comes late must not hit the session's next device: its jid is another.

    @_in_thread
    def note(self, device: StoredDevice, fence: Fence) -> None:
        with self._open() as registry:
            _check_fence(registry, device, fence.token)
            registry.execute(
                "UPDATE devices SET parked = ?, again_at = ?, told = ?, token = ? WHERE session = ? AND jid = ?",
                (device.parked, device.again_at, device.told, fence.token, device.session, device.jid),
            )

    @_in_thread
    def forget(self, device: StoredDevice, fence: Fence) -> None:
        with self._open() as registry:
            _check_fence(registry, device, fence.token)
            found = registry.execute(
                "DELETE FROM devices WHERE session = ? AND jid = ?", (device.session, device.jid)
            ).rowcount
            if found:
                self.discard(self._database(device.session))
        with self._open() as registry:  # what was deleted shall not stay readable in the file or its log
            registry.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with _translated(), closing(sqlite3.connect(self._registry, timeout=10)) as registry, registry:
            registry.execute("PRAGMA secure_delete=ON")
            yield registry


def _vacate(registry: sqlite3.Connection, device: StoredDevice, moved: bool) -> SessionId | None:
    """Forget another session that has the device's jid, and return it. Raises `DeviceTaken` if the device `moved` in."""
    found = registry.execute(
        "SELECT session FROM devices WHERE jid = ? AND session <> ?", (device.jid, device.session)
    ).fetchone()
    if found is None:
        return None
    if moved:
        raise DeviceTaken(SessionId(found[0]))
    registry.execute("DELETE FROM devices WHERE session = ?", found)
    return SessionId(found[0])


def _newest(registry: sqlite3.Connection, session: SessionId) -> int | None:
    found = registry.execute("SELECT token FROM devices WHERE session = ?", (session,)).fetchone()
    return found[0] if found else None


def _check_fence(registry: sqlite3.Connection, device: StoredDevice, token: int) -> None:
    """Raise `StoreFenced` when the device has a newer owner. Holds the registry's lock until the transaction ends."""
    registry.execute("BEGIN IMMEDIATE")
    newest = _newest(registry, device.session)
    if newest is not None and newest > token:
        raise StoreFenced(newest)


@contextmanager
def _translated() -> Iterator[None]:
    """Raise `StoreAway` for a disk that is full or a file that is locked."""
    try:
        yield
    except sqlite3.Error as error:
        raise StoreAway(f"{type(error).__name__}: {error}") from error
