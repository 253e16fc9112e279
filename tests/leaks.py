"""What a run of tests must not leave: processes, listening ports, temporary files."""

import contextlib
import os
import uuid
from dataclasses import dataclass
from pathlib import Path

import psutil

MARK = "WA_TEST_RUN"
GRACE_SECONDS = 5.0
#: Python's own helper, which ends with the interpreter that started it.
_HELPERS = ("multiprocessing.resource_tracker",)


@dataclass(frozen=True, slots=True)
class Leaks:
    """Knows its own by a mark in the environment, which every process inherits, even one whose parent has died."""

    mark: str
    ports: frozenset[int]

    @classmethod
    def watch(cls) -> "Leaks":
        """From now on."""
        mark = uuid.uuid4().hex
        os.environ[MARK] = mark
        return cls(mark, frozenset(_listening(psutil.Process())))

    def found(self, folder: Path) -> list[str]:
        """One line for each thing left. Processes that are just ending get a moment; those that stay are killed."""
        _, stayed = psutil.wait_procs(self._processes(), timeout=GRACE_SECONDS)
        lines = []
        for process in stayed:
            lines.append(f"process {process.pid}: {_command(process)}")
            lines += [f"port {port} of process {process.pid}" for port in _listening(process)]
            with contextlib.suppress(psutil.Error):  # gone meanwhile
                process.kill()
        lines += [f"port {port} of the tests' own process" for port in _listening(psutil.Process()) - self.ports]
        lines += [f"temporary file {path}" for path in sorted(folder.iterdir())]
        return lines

    def _processes(self) -> list[psutil.Process]:
        """All with our mark, and all our children (one that cleared its environment has no mark)."""
        ours = {process.pid: process for process in psutil.Process().children(recursive=True)}
        for process in psutil.process_iter():
            try:
                marked = process.environ().get(MARK) == self.mark
            except (psutil.Error, OSError):  # gone meanwhile, or somebody else's
                continue
            if marked and process.pid != os.getpid():
                ours[process.pid] = process
        return [process for process in ours.values() if not any(helper in _command(process) for helper in _HELPERS)]


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline()) or process.name()
    except psutil.Error:
        return "(gone)"


def _listening(process: psutil.Process) -> set[int]:
    try:
        connections = process.net_connections(kind="inet")
    except psutil.Error:
        return set()
    return {one.laddr.port for one in connections if one.status == psutil.CONN_LISTEN}
