"""Redis servers for a test to misuse: with their own configuration, behind a name that can be pointed elsewhere."""

import asyncio
import contextlib
import shutil
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Protocol, Self

from redis.asyncio import Redis

from app.local.redis import find_binary, free_port
from tests.waiting import until


class Server:
    """A Redis of the test's own. It can be killed and started again in the same folder, on the same port."""

    def __init__(self, folder: Path, *options: str, sentinel: bool = False) -> None:
        self.folder, self.port = folder, free_port()
        self._options = options
        self._sentinel = sentinel
        self.process: subprocess.Popen[bytes]
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> "Server":
        """Start it, and return once it listens."""
        fixed = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        if self._sentinel:
            file = self.folder / "sentinel.conf"
            file.write_text("\n".join(self._options))
            command = [str(file), "--sentinel", *fixed]
        else:
            command = [*fixed, "--save", "", "--appendonly", "no", *self._options]
        if "--cluster-enabled" in self._options:
            command += ["--cluster-port", str(free_port())]  # else 10,000 above the other, where there may be none
        self.process = subprocess.Popen(
            [str(find_binary()), *command, "--set-proc-title", "no"], stdout=subprocess.DEVNULL
        )
        for _ in range(500):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 0.5):
                return self
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(0.02)
        raise AssertionError("redis-server does not start")

    def kill(self) -> None:
        """`kill -9`, and gone."""
        self.process.kill()
        self.process.wait()

    @contextlib.asynccontextmanager
    async def asked(self) -> AsyncIterator[Redis]:
        """Somebody with redis-cli."""
        redis: Redis = Redis.from_url(self.url)
        yield redis
        await redis.aclose()

    async def follow(self, primary: "Server") -> None:
        """Become a replica, and return once it has everything."""
        async with self.asked() as redis, primary.asked() as theirs:
            await redis.replicaof("127.0.0.1", str(primary.port))

            async def level() -> bool:
                mine, other = await redis.info("replication"), await theirs.info("replication")
                is_up = mine.get("master_link_status") == "up"
                return is_up and bool(mine["slave_repl_offset"] == other["master_repl_offset"])

            await until(level)

    async def lead(self) -> None:
        """Become a primary."""
        async with self.asked() as redis:
            await redis.replicaof("NO", "ONE")


@contextlib.contextmanager
def server(*options: str, sentinel: bool = False) -> Iterator[Server]:
    """A running server, gone with the block."""
    folder = Path(tempfile.mkdtemp(prefix="redis-"))
    one = Server(folder, *options, sentinel=sentinel)
    try:
        yield one.start()
    finally:
        one.kill()
        shutil.rmtree(folder, ignore_errors=True)


class Listening(Protocol):
    """Whatever listens on a port of this machine."""

    port: int


class Name:
    """A name that leads to a server: new connections go where it points now, and old ones stay where they are."""

    def __init__(self, to: Listening) -> None:
        self.to = to
        self.cut = False
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        """The name."""
        return f"redis://127.0.0.1:{self.port}/0"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.drop()

    def drop(self) -> None:
        """Cut every connection."""
        for writer in tuple(self._writers):
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found = None
        with contextlib.suppress(OSError):
            found = None if self.cut else await asyncio.open_connection("127.0.0.1", self.to.port)
        if found is None:
            writer.close()
            return
        theirs, ours = found
        pair = {writer, ours}
        self._writers |= pair
        await asyncio.gather(_pump(reader, ours), _pump(theirs, writer))
        self._writers -= pair


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
