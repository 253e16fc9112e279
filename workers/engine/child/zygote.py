"""The parent of all engine processes: `python -m workers.engine.child.zygote FD WORKER [LINE]`.

FD is its end of a SOCK_SEQPACKET pair, WORKER the pid of the worker, LINE the life line that it and its children hold.

It has neonize's dependencies in memory but not its library, and one thread. It forks linkers and holders on request
(`orders.py`), reaps them, and reports each end with the first line of a panic. It kills them and goes with the worker.
"""

import errno
import importlib
import os
import re
import selectors
import signal
import socket
import sys
import time
from dataclasses import dataclass
from typing import NoReturn, assert_never

from msgspec.json import encode

from workers.engine.child.confine import confine
from workers.engine.child.preload import load_library, preload
from workers.engine.child.process import BUG, arrange_descriptors, die_with, overwrite_variable, run
from workers.engine.orders import (
    GARBAGE,
    LINKERS_GARBAGE,
    PACKET,
    Alive,
    Died,
    Exited,
    Fork,
    Forked,
    Kill,
    Role,
    to_zygote,
)
from workers.engine.protocol import Line

_LONGEST = 4096
#: A panic's value can be anything: long runs of digits, letters or base64 could be a phone, a key or a QR.
_SECRETS = re.compile(r"\d{5,}|[A-Za-z0-9+/=_-]{25,}|//[^/@\s]+@")


@dataclass
class Child:
    """A running child. Of its descriptor 2 the first line of a panic is remembered; all else is dropped."""

    key: int
    noise_fd: int  # the read end; -1 once it is closed
    panic: str | None = None
    _rest: bytes = b""

    def hear(self, data: bytes) -> None:
        """Take what the child wrote, in pieces as they come."""
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest[:_LONGEST]
        for line in lines:
            if self.panic is None and line.startswith((b"panic:", b"fatal error:")):
                self.panic = _SECRETS.sub("…", line.decode(errors="replace"))[:200]


class Zygote:
    """The loop: orders, deaths, noise. Blocking calls and one selector, because a fork must find a single thread."""

    def __init__(self, control: socket.socket, line: int | None = None) -> None:
        self._control = control
        self._line = line
        self._children: dict[int, Child] = {}  # by pid
        self._selector = selectors.DefaultSelector()
        self._pid = os.getpid()
        self._children_until: float | None = None

    def serve(self) -> NoReturn:
        """Run until the worker closes its end; then kill the children and go."""
        woken, waker = socket.socketpair()
        woken.setblocking(False)
        waker.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        self._selector.register(self._control, selectors.EVENT_READ)
        self._selector.register(woken, selectors.EVENT_READ)
        while True:
            for ready, _ in self._selector.select(self._patience()):
                if ready.fileobj is self._control:
                    self._obey()
                elif ready.fileobj is woken:
                    _read(woken.fileno())
                    self._reap()
                else:
                    self._listen(ready.data)

    def _patience(self) -> float | None:
        """Seconds that the children may still live without a word of the worker. At 0 they are killed."""
        if self._children_until is None:
            return None
        left = self._children_until - time.monotonic()
        if left > 0:
            return left
        self._children_until = None
        for pid in self._children:
            os.kill(pid, signal.SIGKILL)
        return None

    def _obey(self) -> None:
        packet, descriptors, _, _ = socket.recv_fds(self._control, PACKET, 1)
        if not packet:
            self._leave()
        order = to_zygote.decode(packet)
        match order:
            case Fork():
                self._fork(order, descriptors[0])
            case Kill(key=key):
                for pid, child in self._children.items():
                    if child.key == key:
                        os.kill(pid, signal.SIGKILL)
            case Alive(seconds=seconds):
                self._children_until = time.monotonic() + seconds
            case _:
                assert_never(order)

    def _fork(self, order: Fork, pipe: int) -> None:
        opened = [pipe]
        try:
            heard, noise = ends = os.pipe()
            opened += ends
            pid = os.fork()
        except OSError as error:  # no memory, descriptor or process left: that costs this child, not all the others
            for descriptor in opened:
                os.close(descriptor)
            why = errno.errorcode.get(error.errno or 0, "?")
            self._tell(Died(key=order.key, exited=Exited(None, None, f"fork: {why}")))
            return
        if pid == 0:
            try:
                self._become(order, pipe, noise)
            finally:
                os._exit(BUG)
        os.close(noise)
        os.close(pipe)
        os.set_blocking(heard, False)
        child = self._children[pid] = Child(order.key, heard)
        self._selector.register(heard, selectors.EVENT_READ, child)
        self._tell(Forked(key=order.key, pid=pid))

    def _become(self, order: Fork, pipe: int, noise: int) -> NoReturn:
        # This frame never returns, so the zygote's own sockets are never collected here: their descriptors are closed
        # and their numbers used again.
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        die_with(self._pid)
        arrange_descriptors(pipe, noise, self._line)
        confine(order.role, order.options)
        if order.role is Role.LINKER:
            overwrite_variable("GOGC", GARBAGE, LINKERS_GARBAGE)

        async def main(sock: socket.socket) -> None:
            load_library(order.options.library)
            await importlib.import_module(f"workers.engine.child.{order.role.value}").main(sock, order.options)

        run(main)

    def _listen(self, child: Child) -> None:
        if child.noise_fd < 0:
            return  # one selection told of its death as well, which came first
        data = _read(child.noise_fd)
        if data:
            child.hear(data)
        elif data is not None:  # nobody holds the other end any more; the death comes by SIGCHLD
            self._deafen(child)

    def _deafen(self, child: Child) -> None:
        self._selector.unregister(child.noise_fd)
        os.close(child.noise_fd)
        child.noise_fd = -1

    def _reap(self) -> None:
        while self._children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            child = self._children.pop(pid)
            while child.noise_fd >= 0 and (data := _read(child.noise_fd)):
                child.hear(data)
            child.hear(b"\n")
            if child.noise_fd >= 0:
                self._deafen(child)
            code = os.waitstatus_to_exitcode(status)
            exited = Exited(code, None, child.panic) if code >= 0 else Exited(None, -code, child.panic)
            self._tell(Died(key=child.key, exited=exited))

    def _tell(self, message: Line) -> None:
        try:
            self._control.send(encode(message))
        except OSError:
            self._leave()

    def _leave(self) -> NoReturn:
        for pid in self._children:
            os.kill(pid, signal.SIGKILL)
        os._exit(0)


def _read(fd: int) -> bytes | None:
    """Bytes that are there to read, b"" at the end, None when there is nothing now."""
    try:
        return os.read(fd, 65536)
    except BlockingIOError:
        return None


def main() -> NoReturn:
    """Begin: harden the process, load what the children share, serve."""
    # A host that stops a dyno signals every process in it, and Ctrl-C every process of the terminal. The worker decides
    # about its engines; theirs is to go when it closes their pipes.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    die_with(int(sys.argv[2]))
    preload()
    line = int(sys.argv[3]) if len(sys.argv) > 3 else None
    Zygote(socket.socket(fileno=int(sys.argv[1])), line).serve()


if __name__ == "__main__":
    main()
