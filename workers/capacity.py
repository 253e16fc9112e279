"""How much one worker takes on: what the settings say, else what its memory carries.

Measured (docs/deploy.md): a worker at rest 120 MB with its zygote and a warm linker, a waiting attempt 22 MB, a held
session 0.6 MB. On 512 MB that is ten attempts beside a hundred and fifty sessions, with a fifth to spare.
"""

from dataclasses import dataclass
from pathlib import Path

from shared.settings import Settings

MB = 2**20
ATTEMPTS_PER_MB = 10 / 512
SESSIONS_PER_MB = 150 / 512
MOST_ATTEMPTS = 50
MOST_SESSIONS = 1000
_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
_TOTAL = Path("/proc/meminfo")


@dataclass(frozen=True, slots=True)
class Capacity:
    """Onboardings at once, and sessions held."""

    attempts: int
    sessions: int


def memory_mb() -> int:
    """What this process may use, in MB: the container's limit if there is one, else the machine's memory."""
    found = [_total_mb()]
    limits = (path.read_text().strip() for path in _LIMITS if path.exists())
    found += [int(text) // MB for text in limits if text.isdigit()]
    return min(found)


def _total_mb() -> int:
    for line in _TOTAL.read_text().splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) // 1024
    raise ValueError(f"{_TOTAL} does not say MemTotal")


def capacity(config: Settings, mb: int) -> Capacity:
    """The worker's capacity on `mb` of memory; what the settings name wins."""
    attempts = max(1, min(MOST_ATTEMPTS, int(mb * ATTEMPTS_PER_MB)))
    sessions = max(1, min(MOST_SESSIONS, int(mb * SESSIONS_PER_MB)))
    return Capacity(config.max_attempts or attempts, config.max_sessions or sessions)
