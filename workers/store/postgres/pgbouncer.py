"""A PgBouncer of the worker's own: however many sessions it holds, they share a few connections to Postgres.

    async with PgBouncer(server, "/usr/sbin/pgbouncer", connections=4) as bouncer:
        ...  # bouncer.front is a server to log in to, unchanged for as long as the block lasts

It listens on a Unix socket in a folder that only this user may enter. So it asks nobody for a password, and the DSN of
the holders has none. Its configuration holds the real password and is never on disk: it is a file in memory, whose
descriptor the child inherits. If it dies, it is started anew; if the worker dies, it dies too. docs/device-store.md has
the measurements behind its settings.
"""

import asyncio
import contextlib
import ctypes
import os
import pwd
import secrets
import shutil
import signal
import tempfile
from functools import partial
from pathlib import Path
from typing import Self

from shared.log import log
from shared.private import raise_descriptors
from shared.tasks import cancelled
from workers.store.device import StoreAway
from workers.store.postgres.dsn import Server
from workers.store.postgres.pgbouncer_ini import PORT, configuration
from workers.store.scratch import OwnFolder

READY_SECONDS = 5.0
STOP_SECONDS = 1.0
"""Longest wait for an orderly end. Newer versions wait for their clients, which are gone by then."""
PAUSES = (0.1, 5.0)
_PLACES = (
    Path("/usr/sbin"),
    Path("/usr/local/sbin"),
    Path("/usr/local/bin"),
    Path("~/.apt/usr/sbin"),  # Heroku's apt buildpack: it puts .apt/usr/bin on the PATH, and nothing else
    Path("/app/.apt/usr/sbin"),  # the same, whatever HOME says
)
_PREFIX = "wa-pool-"
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


def installed() -> str | None:
    """The path of PgBouncer on this machine; Debian puts it where the PATH of many users does not look."""
    places = os.pathsep.join(os.path.expanduser(one) for one in _PLACES)  # noqa: PTH111 - never fails, even without a home
    return shutil.which("pgbouncer") or shutil.which("pgbouncer", path=places)


class PgBouncer:
    """A supervised PgBouncer. An async context manager; entering raises `StoreAway` when it cannot be started."""

    def __init__(self, server: Server, binary: str, connections: int) -> None:
        """`connections`: to `server`, at most."""
        self._binary = binary
        self._server = server
        self._connections = connections
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._said = ""
        self._own: OwnFolder

    @property
    def front(self) -> Server:
        """The PgBouncer itself, as a server to log in to."""
        return Server(str(self._own.folder), PORT, "wa", "wa", "", "disable")

    async def __aenter__(self) -> Self:
        self._own = OwnFolder(Path(tempfile.gettempdir()), f"{_PREFIX}{secrets.token_hex(4)}", f"{_PREFIX}*")
        if (user := _user()) is not None:
            os.chown(self._own.folder, user.pw_uid, user.pw_gid)
        try:
            await self._start()
        except BaseException:
            await self.__aexit__()
            raise
        self._keeper = asyncio.create_task(self._keep())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._keeper is not None:
            await cancelled(self._keeper)
        await self._end()
        self._own.close()

    async def _keep(self) -> None:
        pause, longest = PAUSES
        while True:
            assert self._process is not None  # noqa: S101 - started before us
            began = asyncio.get_running_loop().time()
            await self._read(self._process)
            code = await self._process.wait()
            log.error("pgbouncer.died", code=code, said=self._said)
            if asyncio.get_running_loop().time() - began > longest:
                pause = PAUSES[0]
            while True:
                await asyncio.sleep(pause)
                pause = min(2 * pause, longest)
                try:
                    await self._start()
                except (StoreAway, OSError) as error:
                    log.error("pgbouncer.not-started", reason=str(error))  # noqa: TRY400 - the trace adds nothing
                else:
                    log.info("pgbouncer.restarted")
                    break

    async def _start(self) -> None:
        """Returns when it listens."""
        socket = self._own.folder / f".s.PGSQL.{PORT}"
        socket.unlink(missing_ok=True)
        descriptor = os.memfd_create("pgbouncer.ini")
        try:
            os.write(descriptor, configuration(self._server, self._own.folder, self._connections).encode())
            self._process = await asyncio.create_subprocess_exec(
                self._binary,
                "--quiet",
                f"/proc/self/fd/{descriptor}",
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                pass_fds=(descriptor,),
                cwd="/",  # its environment is ours: on Heroku LD_LIBRARY_PATH says where its libraries are
                start_new_session=True,  # Ctrl-C and a host's signal to all are the worker's business
                preexec_fn=partial(_in_child, _user()),
            )
        finally:
            os.close(descriptor)
        try:
            async with asyncio.timeout(READY_SECONDS):
                while not await _listens(socket):
                    if self._process.returncode is not None:
                        await self._read(self._process)
                        raise StoreAway(f"pgbouncer ended with {self._process.returncode}: {self._said}")
                    await asyncio.sleep(0.01)
        except TimeoutError:
            await self._end()
            raise StoreAway(f"pgbouncer did not listen within {READY_SECONDS:.0f} s: {self._said}") from None

    async def _end(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        reader = asyncio.create_task(self._read(process))
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        await reader

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        """Read PgBouncer's lines until its end; only trouble is logged."""
        assert process.stderr is not None  # noqa: S101 - we asked for a pipe
        while line := await process.stderr.readline():
            text = line.decode(errors="replace").strip()
            for level in ("FATAL", "ERROR", "WARNING"):
                if f" {level} " in text:
                    self._said = text.partition(f" {level} ")[2][:200]
                    log.warning("pgbouncer.said", text=self._said)


def _user() -> pwd.struct_passwd | None:
    """The user that PgBouncer runs as; None for our own. It refuses to run as root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    return None


def _in_child(user: pwd.struct_passwd | None) -> None:
    """Between fork and exec: calls into the kernel only, as the worker has threads."""
    if user is not None:  # first, as the change would undo the wish to die with us
        os.setgroups([])
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    raise_descriptors()


async def _listens(socket: Path) -> bool:
    try:
        _, writer = await asyncio.open_unix_connection(socket)
    except OSError:
        return False
    writer.close()
    return True
