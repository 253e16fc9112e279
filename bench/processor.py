"""The processor time of processes, read from /proc."""

import os

from workers.report import processes

_TICKS = os.sysconf("SC_CLK_TCK")


def seconds(pid: int) -> float:
    """Of a process and everything below it, also of what was below it and has ended."""
    total = 0
    for one in processes(pid):
        try:
            with open(f"/proc/{one}/stat", encoding="ascii", errors="replace") as stat:
                fields = stat.read().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # gone meanwhile
        total += sum(map(int, fields[11:15]))
    return total / _TICKS
