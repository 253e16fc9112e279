"""Capacity of one worker. Settings decide; without them, its memory does.

Measured (docs/deploy.md): a worker at rest 124 MB with its zygote and a warm linker, a waiting attempt 20 MB, a held
session 0.7 MB. On 512 MB that is ten attempts beside a hundred and fifty sessions, with a fifth to spare.
"""

from collections.abc import Iterator
from pathlib import Path

from shared.core.datum import Datum
from shared.settings import Settings

MB = 2**20
ATTEMPTS_PER_MB = 10 / 512
SESSIONS_PER_MB = 150 / 512
MOST_ATTEMPTS = 50
MOST_SESSIONS = 1000
SESSIONS_EACH = 300
"""One process holds so many: about 220 MB, and a death costs no more than these. Each further process is 31 MB more."""
LEAST_HEAP_MB = 60
HEAP_PER_SESSION_MB = 0.6
"""Measured: about 0.4 MB of live heap for a session with traffic."""
HOLDER_SLACK_MB = 200


class Capacity(Datum):
    """Onboardings at once, and sessions held."""

    attempts: int
    sessions: int

    @property
    def heap_mb(self) -> int:
        """Heap that Go is told to keep below in each process. It is well above the live heap of one process'
        sessions, or Go would collect without end. It is well below what history leaves behind."""
        return LEAST_HEAP_MB + round(HEAP_PER_SESSION_MB * min(self.sessions, SESSIONS_EACH))

    @property
    def holder_mb(self) -> int:
        """A process of held sessions that is larger than this has outgrown what its sessions need."""
        return self.heap_mb + HOLDER_SLACK_MB


def memory_mb(root: Path = Path("/")) -> int:
    """Memory for this process (MB): the machine's, or the least limit of its control groups, as a container's."""
    limits = [path.read_text().strip() for path in _limits(root) if path.exists()]
    return min([_total_mb(root), *(int(text) // MB for text in limits if text.isdigit())])


def _limits(root: Path) -> Iterator[Path]:
    """Files in which a limit may stand: of our group and each above it, in either version of control groups."""
    groups, ours = root / "sys/fs/cgroup", root / "proc/self/cgroup"
    for line in ours.read_text().splitlines() if ours.exists() else ():
        _, controllers, name = line.split(":", 2)
        if controllers == "":
            top, file = groups, "memory.max"
        elif "memory" in controllers.split(","):
            top, file = groups / "memory", "memory.limit_in_bytes"
        else:
            continue
        # In a container the name may be the host's, of which only the top is seen here.
        own = top / name.lstrip("/")
        yield from (group / file for group in (own, *own.parents) if group.is_relative_to(top))


def _total_mb(root: Path) -> int:
    path = root / "proc/meminfo"
    for line in path.read_text().splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) // 1024
    raise ValueError(f"{path} does not say MemTotal")


def capacity(config: Settings, mb: int) -> Capacity:
    """The worker's capacity on `mb` of memory. Values of the settings win."""
    attempts = max(1, min(MOST_ATTEMPTS, int(mb * ATTEMPTS_PER_MB)))
    sessions = max(1, min(MOST_SESSIONS, int(mb * SESSIONS_PER_MB)))
    return Capacity(config.max_attempts or attempts, config.max_sessions or sessions)
