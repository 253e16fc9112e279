"""The memory of a process, as the system counts it."""

import os
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")


def memory_of(pid: int | None) -> int:
    """The memory (RSS) of a process in MB; 0 when it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * _PAGE // 2**20
    except (OSError, ValueError, IndexError):
        return 0
