"""A limit of memory for a process and all below it: a control group, or where none can be made, somebody who watches and kills."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.waiting import beside
from workers.report import memory_bytes, processes

_GROUPS = Path("/sys/fs/cgroup")
_WATCH_SECONDS = 0.1
_INTO = 'echo $$ >"$0/cgroup.procs" && exec "$@"'


@dataclass(frozen=True, slots=True)
class MemoryLimit:
    """`command` comes before that of the process that is to be limited. `group` is None where none can be made."""

    mb: int
    group: Path | None

    @property
    def command(self) -> tuple[str, ...]:
        return () if self.group is None else ("sh", "-c", _INTO, str(self.group))

    @contextlib.asynccontextmanager
    async def kept(self, pid: int) -> AsyncIterator[None]:
        """While the block lasts, the process dies if it takes more. A control group sees to that by itself."""
        async with beside(self._watch(pid)) if self.group is None else contextlib.nullcontext():
            yield

    async def _watch(self, pid: int) -> None:
        while await asyncio.to_thread(used_mb, pid) <= self.mb:
            await asyncio.sleep(_WATCH_SECONDS)
        os.kill(pid, signal.SIGKILL)

    @property
    def kills(self) -> int:
        """How many processes the kernel has killed for it."""
        told = {} if self.group is None else _told(self.group)
        return int(told.get("oom_kill", 0))


def used_mb(pid: int) -> float:
    """What a process and all below it take, shared pages once (Pss)."""
    return memory_bytes(processes(pid)) / 2**20


def _told(group: Path) -> dict[str, str]:
    found = [path for path in (group / "memory.events", group / "memory.oom_control") if path.exists()]
    return dict(line.split() for line in found[0].read_text().splitlines()) if found else {}


@contextlib.contextmanager
def memory_limit(mb: int) -> Iterator[MemoryLimit]:
    """A control group of either version with this limit, gone with the block."""
    group = next((made for top, file in _places() if (made := _made(top, file, mb)) is not None), None)
    try:
        yield MemoryLimit(mb, group)
    finally:
        if group is not None:
            _empty(group)
            group.rmdir()


def _empty(group: Path) -> None:
    """Wait until nothing is left in it: what ends with a process, such as its last will, ends a moment later."""
    end = time.monotonic() + 20
    while (left := (group / "cgroup.procs").read_text().split()) and time.monotonic() < end:
        time.sleep(0.02)
    assert not left, "these outlive the limit"


def _places() -> Iterator[tuple[Path, str]]:
    if (_GROUPS / "cgroup.subtree_control").exists():
        with contextlib.suppress(OSError):
            (_GROUPS / "cgroup.subtree_control").write_text("+memory")
        yield _GROUPS, "memory.max"
    yield _GROUPS / "memory", "memory.limit_in_bytes"


def _made(top: Path, file: str, mb: int) -> Path | None:
    group = top / f"wa-test-{os.getpid()}-{mb}"
    if not top.is_dir():
        return None
    try:
        group.mkdir()
    except OSError:
        return None
    try:
        (group / file).write_text(str(mb << 20))
    except OSError:
        group.rmdir()
        return None
    return group
