"""The throw-away files into which attempts pair, one folder a worker; no host needs to keep them."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from shared.core.ids import SessionId, WorkerId


def linking_folder(data: Path, worker: WorkerId | None = None) -> Path:
    """Where attempts pair below DATA_DIR; those of one worker."""
    all_ = data.resolve() / "linking"
    return all_ / worker if worker else all_


class Scratch:
    """This worker's folder below `folder`. What dead workers have left there is removed."""

    def __init__(self, folder: Path, worker: WorkerId) -> None:
        all_ = linking_folder(folder)
        all_.mkdir(parents=True, exist_ok=True, mode=0o700)
        _remove_leftovers(all_)
        # Locked before it has a name under which others look for leftovers.
        new = Path(tempfile.mkdtemp(prefix=".", dir=all_))
        self._ours = lock(new)
        self._folder = new.rename(linking_folder(folder, worker))

    def path(self, session: SessionId, attempt: int) -> str:
        """Absolute path of the file for one attempt."""
        return str(self._folder / f"{session}.{attempt}.sqlite3")

    @staticmethod
    def discard(scratch: str) -> None:
        """Throw an attempt's file away. Idempotent."""
        for suffix in ("", "-wal", "-shm", "-journal"):
            Path(scratch + suffix).unlink(missing_ok=True)

    def close(self) -> None:
        """Throw away what this worker's attempts have left. Idempotent."""
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._ours is not None:
            os.close(self._ours)
            self._ours = None


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
    for one in _named(folder.resolve() / "linking"):
        if (free := lock(one)) is None:
            return True
        os.close(free)
    return False


def _named(folder: Path) -> Iterator[Path]:
    return folder.glob("[!.]*")


def _remove_leftovers(folder: Path) -> None:
    """Throw away the attempts' files of workers that live no more: they hold half-made keys."""
    for one in _named(folder):
        if (free := lock(one)) is not None:
            shutil.rmtree(one, ignore_errors=True)
            os.close(free)
