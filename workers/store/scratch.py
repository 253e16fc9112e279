"""Throw-away files into which attempts pair, in one locked folder for each worker. No host needs to keep them."""

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from shared.core.ids import SessionId, WorkerId

_NAMED = "[!.]*"


def linking_folder(data: Path, worker: WorkerId | None = None) -> Path:
    """The folder below DATA_DIR into which attempts pair: all of it, or one worker's part."""
    all_ = data.resolve() / "linking"
    return all_ / worker if worker else all_


class OwnFolder:
    """A new folder of this process below `parent`, locked while it lives. Folders there of processes that live no more,
    named like `leftovers`, are removed."""

    def __init__(self, parent: Path, name: str, leftovers: str) -> None:
        for one in parent.glob(leftovers):
            with suppress(PermissionError):  # another user's
                if (free := lock(one)) is not None:
                    shutil.rmtree(one, ignore_errors=True)
                    os.close(free)
        # Locked before it has a name under which others look for leftovers.
        new = Path(tempfile.mkdtemp(prefix=".", dir=parent))
        self._ours = lock(new)
        self.folder = new.rename(parent / name)

    def close(self) -> None:
        """Remove it with all that is in it. Idempotent."""
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._ours is not None:
            os.close(self._ours)
            self._ours = None


class Scratch(OwnFolder):
    """This worker's folder below `data`. What dead workers have left there is removed: it holds half-made keys."""

    def __init__(self, data: Path, worker: WorkerId) -> None:
        linking_folder(data).mkdir(parents=True, exist_ok=True, mode=0o700)
        super().__init__(linking_folder(data), worker, _NAMED)

    def path(self, session: SessionId, attempt: int) -> str:
        """Absolute path of a file into which an attempt may pair; thrown away unless its device is adopted."""
        return str(self.folder / f"{session}.{attempt}.sqlite3")


def discard(file: str) -> None:
    """Throw a SQLite file away, with all that lies beside it. Idempotent."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        Path(file + suffix).unlink(missing_ok=True)


def lock(folder: Path) -> int | None:
    """A lock on the folder that the kernel frees when its holder dies; None when somebody else has it."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def in_use(folder: Path) -> bool:
    """True while a living worker uses `folder` (a DATA_DIR)."""
    for one in linking_folder(folder).glob(_NAMED):
        if (free := lock(one)) is None:
            return True
        os.close(free)
    return False
