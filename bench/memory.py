"""The memory of processes, read from /proc.

`own` is what would be free again if the processes were gone: their anonymous memory, each page that forked relatives
share counted once, and file pages that nobody else has mapped. For a process by itself it is its private memory.
"""

from dataclasses import dataclass
from pathlib import Path

from workers.report import processes


@dataclass(frozen=True, slots=True)
class Memory:
    """In MB."""

    own: float
    private: float
    pss: float

    def __add__(self, other: "Memory") -> "Memory":
        return Memory(self.own + other.own, self.private + other.private, self.pss + other.pss)


def of(pid: int) -> Memory:
    """One process."""
    kb: dict[str, int] = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]:
        name, value, *_ = line.split()
        kb[name.rstrip(":")] = int(value)
    private = kb["Private_Clean"] + kb["Private_Dirty"]
    return Memory((kb["Pss_Anon"] + kb["Private_Clean"]) / 1024, private / 1024, kb["Pss"] / 1024)


def family(pid: int) -> tuple[Memory, int]:
    """A process and everything below it, and how many those are."""
    total, count = Memory(0, 0, 0), 0
    for one in processes(pid):
        try:
            total += of(one)
        except (FileNotFoundError, ProcessLookupError):
            continue  # gone meanwhile
        count += 1
    return total, count
