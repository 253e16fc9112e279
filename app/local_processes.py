"""Runs the lines of a Procfile side by side, as a Heroku-style host does: honcho with a few habits of ours."""

import ctypes
import functools
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import honcho.manager
from honcho.environ import parse_procfile
from honcho.manager import Manager
from honcho.printer import Message, Printer
from honcho.process import Popen, Process

STOP_SECONDS = 25
"""Until a process that does not heed SIGTERM is killed; a worker may take 20 s to hand its work over."""

_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_PR_SET_PDEATHSIG = 1
_STOPPED = re.compile(r"(\S+) stopped \(rc=(-?\d+)\)")


def die_with_parent() -> None:
    """Called in a new process: it gets SIGTERM when the thread that started it is gone, even by `kill -9`. Linux only;
    elsewhere nothing happens."""
    _signal_when_parent_dies(signal.SIGTERM)


def _signal_when_parent_dies(number: signal.Signals) -> None:
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, number)


class _Process(Process):  # type: ignore[misc] # honcho has no types
    """One line of the Procfile, with honcho's own process beside it, which starts it and reads what it says.

    Should we die without a word, that process hears of it and stops the line's whole process group.
    """

    def __init__(self, *arguments: Any, keep_open: int, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._child_ctor = functools.partial(Popen, pass_fds=(keep_open,))

    def run(self, events: Any = None, ignore_signals: bool = False) -> None:
        signal.signal(signal.SIGHUP, self._orphaned)
        _signal_when_parent_dies(signal.SIGHUP)
        super().run(events, ignore_signals)

    def _orphaned(self, _number: int, _frame: FrameType | None) -> None:
        if self._child is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._child.pid, signal.SIGTERM)
                self._read_on(time.monotonic() + STOP_SECONDS)
                os.killpg(self._child.pid, signal.SIGKILL)
        os._exit(1)

    def _read_on(self, until: float) -> None:
        """Until the group has closed its output, so that nobody in it waits for a reader; or until `until`."""
        output = self._child.stdout.fileno()
        while (left := until - time.monotonic()) > 0 and select.select([output], [], [], left)[0]:
            if not os.read(output, 65536):
                return


class _Printer(Printer):  # type: ignore[misc] # honcho has no types
    """Prints each line with its process's name, and remembers which process ended first."""

    def __init__(self) -> None:
        super().__init__(sys.stdout)
        self.first: tuple[str, int] | None = None

    def write(self, message: Message) -> None:
        if self.first is None and message.name == honcho.manager.SYSTEM_PRINTER_NAME:
            stopped = _STOPPED.match(message.data)
            self.first = (stopped[1], int(stopped[2])) if stopped else None
        super().write(message)


def run_procfile(
    procfile: Path, env: Mapping[str, str], *, keep_open: int, beside: subprocess.Popen[bytes] | None = None
) -> int:
    """Runs all lines until SIGINT or SIGTERM (exit code 0), or until one of them ends, or the process `beside` does:
    then the others are stopped, a sentence names the one that ended, and the exit code is its own or 1.

    The descriptor `keep_open` stays open in every process. Must be called from the main thread.
    """
    honcho.manager.KILL_WAIT = STOP_SECONDS
    printer = _Printer()
    manager = Manager(printer)
    manager._process_ctor = functools.partial(_Process, keep_open=keep_open)  # noqa: SLF001 - the only way in
    for name, command in parse_procfile(procfile.read_text(encoding="utf-8")).processes.items():
        manager.add_process(name, command, env=dict(env), cwd=str(procfile.resolve().parent))

    def look_beside(_number: int, _frame: FrameType | None) -> None:
        if beside is not None and beside.poll() is not None and printer.first is None:
            printer.first = ("Redis", beside.returncode)
            os.kill(os.getpid(), signal.SIGTERM)

    # Set before loop(), which forks: the children of honcho put signals back as they need them.
    signal.signal(signal.SIGCHLD, look_beside)
    manager.loop()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    return _verdict(manager.returncode, printer.first)


def _verdict(returncode: int, first: tuple[str, int] | None) -> int:
    """The exit code, after saying what happened."""
    asked = returncode in {128 + signal.SIGINT, 128 + signal.SIGTERM}
    if first is not None and (not asked or first[0] == "Redis"):
        name, code = first
        how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        sys.stderr.write(f"{name} {how}, so everything else was stopped.\n")
        return code if code > 0 else 1
    sys.stdout.write("Stopped.\n")
    return 0
