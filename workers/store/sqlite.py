"""Linked devices on a disk: one SQLite file for each session below `DATA_DIR`. Suits one host, whose workers share the folder."""

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from shared.core.ids import SessionId, WorkerId
from shared.log import log
from workers.engine.devices import device_in, guard, open_file, settle, sync
from workers.store.device import COLUMNS, DeviceStore, DeviceTaken, Fence, StoreAway, StoredDevice, StoreFenced
from workers.store.scratch import Scratch, discard

P = ParamSpec("P")
R = TypeVar("R")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS devices (
    session   TEXT PRIMARY KEY,
    jid       TEXT NOT NULL,
    linked_at INTEGER NOT NULL,   -- ms since the epoch
    parked    TEXT NOT NULL DEFAULT '' -- why it is not to be held: its keys are in use elsewhere, say
) STRICT
"""
#: Columns that the first version did not make; their meaning is that of the fields of a `StoredDevice`.
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

    registry = "devices"

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

    async def overtaken(self, tokens: Mapping[SessionId, int]) -> list[SessionId]:
        rows = await self.registered()
        return [device.session for device in rows if device.token > tokens.get(device.session, device.token)]

    async def forget_strangers(self) -> None:
        """Each file is of one device, and goes with it."""

    def _database(self, session: SessionId) -> str:
        return str(self._devices / f"{session}.sqlite3")

    @_in_thread
    def _adopt(self, scratch: str, device: StoredDevice, fence: Fence, *, moved: bool) -> None:  # noqa: ARG002
        # The linker wrote without syncs. Settled here, moved in one step, and registered only then: killed in between,
        # the file is an orphan that nobody resumes, never a registered device without its keys. The first statement
        # takes the registry's lock, so that nobody who forgets the older device removes this one's file.
        target = Path(device.database)
        with _translated():
            settle(scratch)
        with self._open() as registry:
            registry.execute("BEGIN IMMEDIATE")
            other = _vacate(registry, device, moved)
            written = registry.execute(
                f"INSERT INTO devices ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (session) DO UPDATE "  # noqa: S608
                "SET jid = excluded.jid, linked_at = excluded.linked_at, parked = excluded.parked, "
                "token = excluded.token, again_at = excluded.again_at, told = excluded.told "
                "WHERE token < excluded.token OR (token = excluded.token AND jid = excluded.jid)",
                [getattr(device, column) for column in COLUMNS.split(", ")],
            ).rowcount
            if not written:
                newest = registry.execute("SELECT token FROM devices WHERE session = ?", (device.session,)).fetchone()
                raise StoreFenced(*newest)
            if other is not None:
                log.warning("device.taken-over", session=device.session, other=other)
                discard(self._database(other))
            discard(device.database)
            Path(scratch).replace(target)
            sync(target.parent)

    @_in_thread
    def _ask(self, statement: str, *values: str | int) -> list[Any]:
        with self._open() as registry:
            return registry.execute(statement, {str(place): one for place, one in enumerate(values, 1)}).fetchall()

    async def _write(self, fence: Fence, statement: str, *values: str | int) -> list[Any]:  # noqa: ARG002
        return await self._ask(statement, *values)

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

    @_in_thread
    def _forget(self, device: StoredDevice, fence: Fence) -> bool:
        with self._open() as registry:  # locked by the statement, so that the file is not of the session's next device
            found = registry.execute(
                "DELETE FROM devices WHERE session = ? AND jid = ? AND token <= ?",
                (device.session, device.jid, fence.token),
            ).rowcount
            if found:
                discard(self._database(device.session))
        with self._open() as registry:  # what was deleted shall not stay readable in the file or its log
            registry.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return bool(found)

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


@contextmanager
def _translated() -> Iterator[None]:
    """Raise `StoreAway` for a disk that is full or a file that is locked."""
    try:
        yield
    except sqlite3.Error as error:
        raise StoreAway(f"{type(error).__name__}: {error}") from error
