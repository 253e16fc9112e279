"""Linked devices on a disk: one SQLite file for each session below `DATA_DIR`. Suits one host, whose workers share the folder."""

import asyncio
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from shared.core.ids import SessionId, WorkerId
from workers.engine.devices import device_in
from workers.store.device import StoreAway, StoredDevice
from workers.store.scratch import Scratch

_SCHEMA = """
CREATE TABLE IF NOT EXISTS devices (
    session   TEXT PRIMARY KEY,
    jid       TEXT NOT NULL,
    linked_at INTEGER NOT NULL,   -- ms since the epoch
    parked    TEXT NOT NULL DEFAULT ''   -- why it is not to be held: its keys are in use elsewhere, say
) STRICT
"""


class SqliteStore:
    """One file per session below `folder`; see `DeviceStore`."""

    def __init__(self, folder: Path, worker: WorkerId) -> None:
        self._devices = folder.resolve() / "devices"
        self._scratch = Scratch(folder, worker)
        self._registry = folder.resolve() / "registry.sqlite3"
        self._devices.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._open() as registry:
            registry.execute("PRAGMA journal_mode=WAL")
            registry.execute(_SCHEMA)

    @property
    def away(self) -> bool:
        return False  # the disk is not probed: when it fails, the host does

    def close(self) -> None:
        """Throw away what this worker's attempts have left."""
        self._scratch.close()

    def scratch(self, session: SessionId, attempt: int) -> str:
        return self._scratch.path(session, attempt)

    def discard(self, scratch: str) -> None:
        self._scratch.discard(scratch)

    async def adopt(
        self, session: SessionId, scratch: str, jid: str, linked_at: int, *, parked: str = ""
    ) -> StoredDevice:
        return await asyncio.to_thread(self._adopt, session, scratch, jid, linked_at, parked)

    async def device(self, session: SessionId) -> StoredDevice | None:
        found = await asyncio.to_thread(self._rows, "WHERE session = ?", (session,))
        return found[0] if found else None

    async def holds(self, device: StoredDevice) -> bool:
        with _translated():
            return await asyncio.to_thread(device_in, device.database, device.jid)

    async def held_by_nobody(self, owned: Callable[[SessionId], bool]) -> list[StoredDevice]:
        rows = await asyncio.to_thread(self._rows, "WHERE parked = ''", ())
        return [device for device in rows if not owned(device.session)]

    async def park(self, device: StoredDevice, why: str) -> None:
        await asyncio.to_thread(self._park, device, why)

    async def forget(self, device: StoredDevice) -> None:
        await asyncio.to_thread(self._forget, device)

    def _file(self, session: SessionId) -> Path:
        return self._devices / f"{session}.sqlite3"

    def _adopt(self, session: SessionId, scratch: str, jid: str, linked_at: int, parked: str) -> StoredDevice:
        # The linker wrote without syncs. Synced here, moved in one step, and registered only then: killed in between,
        # the file is an orphan that nobody resumes, never a registered device without its keys. The first statement
        # takes the registry's lock, so that nobody who forgets the older device removes this one's file.
        target = self._file(session)
        _sync(Path(scratch))
        with self._open() as registry:
            registry.execute(
                "INSERT INTO devices (session, jid, linked_at, parked) VALUES (?, ?, ?, ?) ON CONFLICT (session) DO UPDATE "
                "SET jid = excluded.jid, linked_at = excluded.linked_at, parked = excluded.parked",
                (session, jid, linked_at, parked),
            )
            self.discard(str(target))
            Path(scratch).replace(target)
            _sync(target.parent)
        return StoredDevice(session, jid, linked_at, str(target), parked)

    def _rows(self, where: str, values: tuple[str, ...]) -> list[StoredDevice]:
        with self._open() as registry:
            rows = registry.execute(f"SELECT session, jid, linked_at, parked FROM devices {where}", values).fetchall()  # noqa: S608
        return [
            StoredDevice(SessionId(s), jid, at, str(self._file(SessionId(s))), parked) for s, jid, at, parked in rows
        ]

    # A write that comes late must not hit the session's next device: its jid is another.

    def _park(self, device: StoredDevice, why: str) -> None:
        with self._open() as registry:
            registry.execute(
                "UPDATE devices SET parked = ? WHERE session = ? AND jid = ?", (why, device.session, device.jid)
            )

    def _forget(self, device: StoredDevice) -> None:
        with self._open() as registry:
            found = registry.execute(
                "DELETE FROM devices WHERE session = ? AND jid = ?", (device.session, device.jid)
            ).rowcount
            if found:
                self.discard(str(self._file(device.session)))

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with _translated(), closing(sqlite3.connect(self._registry, timeout=10)) as registry, registry:
            yield registry


@contextmanager
def _translated() -> Iterator[None]:
    """A disk that is full or a file that is locked is a store that is away."""
    try:
        yield
    except sqlite3.Error as error:
        raise StoreAway(f"{type(error).__name__}: {error}") from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
