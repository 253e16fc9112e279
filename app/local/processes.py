"""Runs the lines of a Procfile side by side, as a Heroku-style host does: honcho with a few habits of ours."""

import ctypes
import functools
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

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
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class _Process(Process):  # type: ignore[misc] # honcho has no types
    """One line of the Procfile, with honcho's own process beside it, which starts it and reads what it says.

    `lifeline` is a pipe whose writing end only the launcher keeps. Should that die without a word, the pipe ends, and
    the process here stops the line's whole process group. (Not by a signal: any thread might get it, and the one that
    reads would sleep on.)
    """

    def __init__(self, *arguments: Any, keep_open: int, lifeline: tuple[int, int], **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._child_ctor = functools.partial(Popen, pass_fds=(keep_open,))
        self._lifeline = lifeline

    def run(self, events: Any = None, ignore_signals: bool = False) -> None:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # the launcher's handler came along with the fork
        reading, writing = self._lifeline
        os.close(writing)
        threading.Thread(target=self._outlive, args=(reading,), daemon=True).start()
        super().run(events, ignore_signals)

    def _outlive(self, reading: int) -> None:
        os.read(reading, 1)  # returns at the end of the launcher
        until = time.monotonic() + STOP_SECONDS
        with suppress(AttributeError, ProcessLookupError):  # not started yet; gone
            os.killpg(self._child.pid, signal.SIGTERM)
            while time.monotonic() < until:
                time.sleep(0.05)
                os.killpg(self._child.pid, 0)
            os.killpg(self._child.pid, signal.SIGKILL)
        os._exit(1)


class _Printer(Printer):  # type: ignore[misc] # honcho has no types
    """Prints each line with its process's name, and remembers which process ended first."""

    def __init__(self, log: TextIO) -> None:
        super().__init__(log)
        self.first: tuple[str, int] | None = None

    def write(self, message: Message) -> None:
        if self.first is None and message.name == honcho.manager.SYSTEM_PRINTER_NAME:
            stopped = _STOPPED.match(message.data)
            self.first = (stopped[1], int(stopped[2])) if stopped else None
        super().write(message)


def run_procfile(
    procfile: Path,
    env: Mapping[str, str],
    *,
    keep_open: int,
    beside: subprocess.Popen[bytes] | None = None,
    log: TextIO,
) -> int:
    """Runs all lines until SIGINT or SIGTERM (exit code 0), or until one of them ends, or the process `beside` does:
    then the others are stopped, a sentence names the one that ended, and the exit code is its own or 1. What they say
    goes to `log`.

    The descriptor `keep_open` stays open in every process. Must be called from the main thread.
    """
    multiprocessing.set_start_method("fork", force=True)  # descriptors must travel; macOS would not
    honcho.manager.KILL_WAIT = STOP_SECONDS
    lifeline = os.pipe()
    printer = _Printer(log)
    manager = Manager(printer)
    manager._process_ctor = functools.partial(_Process, keep_open=keep_open, lifeline=lifeline)  # noqa: SLF001 - the only way in
    for name, command in parse_procfile(procfile.read_text(encoding="utf-8")).processes.items():
        if name == "release":
            continue  # a host runs it once, before a version goes live
        manager.add_process(name, command, env=dict(env), cwd=str(procfile.resolve().parent))

    def look_beside(_number: int, _frame: FrameType | None) -> None:
        if beside is not None and beside.poll() is not None and printer.first is None:
            printer.first = ("Redis", beside.returncode)
            os.kill(os.getpid(), signal.SIGTERM)

    # Set before loop(), which forks: the children of honcho put signals back as they need them.
    signal.signal(signal.SIGCHLD, look_beside)
    manager.loop()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for end in lifeline:
        os.close(end)
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
