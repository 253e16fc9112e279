"""A real PostgreSQL on loopback for tests and the benchmark, a PgBouncer in front of it, and a distance to it."""

import asyncio
import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg

from app.local.redis import free_port
from tests.waiting import until

PASSWORD = "p@ss/w:rd %20'\\\"ü"
"""Everything that a URL, a connection string or a configuration could trip over."""
START_SECONDS = 20.0

_names = itertools.count(1)


def binaries() -> Path | None:
    """The folder of the newest PostgreSQL on this machine."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    on_path = shutil.which("postgres")
    return Path(on_path).resolve().parent if on_path else None


def as_somebody() -> dict[str, Any]:
    """For subprocess: neither PostgreSQL nor PgBouncer runs as root."""
    return {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}


def private_folder(prefix: str) -> Path:
    """A folder for those who are not root; they must get to it as well."""
    parent = Path(tempfile.gettempdir())
    parent.chmod(parent.stat().st_mode | 0o011)
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
    return folder


@dataclass
class Postgres:
    """One server. `start` and `stop` may be called again and again: the data stays."""

    bin: Path
    folder: Path = field(default_factory=lambda: private_folder("pg-"))
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None

    def create(self) -> None:
        """Make its data folder: the superuser `boss` and the role `wa`, which may do nothing special."""
        secret = self.folder / "password"
        secret.write_text(PASSWORD + "\n", encoding="utf-8")
        secret.chmod(0o644)
        command = [
            str(self.bin / "initdb"),
            "-D",
            str(self.folder / "data"),
            "-U",
            "boss",
            "-E",
            "UTF8",
            "--locale=C",
            "-N",
        ]
        command += ["--auth=scram-sha-256", f"--pwfile={secret}"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=self.folder, **as_somebody())

    def start(self, *options: str) -> None:
        """Returns when it answers."""
        own = ["fsync=off", f"port={self.port}", "listen_addresses=127.0.0.1", "unix_socket_directories="]
        command = [str(self.bin / "postgres"), "-D", str(self.folder / "data")]
        for option in (*own, *options):
            command += ["-c", option]
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder, **as_somebody())
        until = time.monotonic() + START_SECONDS
        ready = [str(self.bin / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        while subprocess.run(ready, check=False).returncode != 0:
            assert self.process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < until, "PostgreSQL does not answer"

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """At once, without waiting for clients; SIGQUIT is as good as a crash."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(START_SECONDS)
            self.process = None

    def remove(self) -> None:
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder)

    def url(self, database: str, *, user: str = "wa", port: int | None = None) -> str:
        """As DATABASE_URL has it; `port` for whoever stands in front."""
        return f"postgres://{user}:{quote(PASSWORD, safe='')}@127.0.0.1:{port or self.port}/{database}"

    async def query(self, statement: str, *values: object, database: str = "postgres") -> list[Any]:
        """As superuser."""
        connection = await asyncpg.connect(self.url(database, user="boss"))
        try:
            return [tuple(row) for row in await connection.fetch(statement, *values)]
        finally:
            await connection.close()

    async def database(self, template: str = "template1") -> str:
        """The name of a new database that belongs to `wa`."""
        name = f"t{next(_names)}"
        if not await self.query("SELECT FROM pg_roles WHERE rolname = 'wa'"):
            literal = PASSWORD.replace("'", "''")
            await self.query(f"CREATE ROLE wa LOGIN PASSWORD '{literal}'")
        await self.query(f"CREATE DATABASE {name} OWNER wa TEMPLATE {template}")
        return name

    async def connections(self, database: str) -> int:
        """The number of connections that the clients of a database have now."""
        found = await self.query(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND backend_type = 'client backend'", database
        )
        count: int = found[0][0]
        return count


@contextlib.asynccontextmanager
async def pooler(postgres: Postgres, mode: str) -> AsyncIterator[int]:
    """Somebody else's PgBouncer on a port of loopback, for all databases."""
    folder, port = private_folder("bouncer-"), free_port()
    users = folder / "users"
    doubled = PASSWORD.replace('"', '""')
    users.write_text(f'"wa" "{doubled}"\n"boss" "{doubled}"\n', encoding="utf-8")
    settings = {
        "listen_addr": "127.0.0.1",
        "listen_port": port,
        "unix_socket_dir": "",
        "auth_type": "scram-sha-256",
        "auth_file": users,
        "pool_mode": mode,
        "default_pool_size": 10,
    }
    lines = [f"{name} = {value}" for name, value in settings.items()]
    text = "\n".join(["[databases]", f"* = host=127.0.0.1 port={postgres.port}", "[pgbouncer]", *lines, ""])
    (folder / "ini").write_text(text, encoding="utf-8")
    binary = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
    process = subprocess.Popen([binary, "-q", folder / "ini"], stderr=subprocess.DEVNULL, cwd="/", **as_somebody())
    try:
        await until(lambda: _answers(port))
        yield port
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder)


async def _answers(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


@contextlib.asynccontextmanager
async def distance(port: int, round_trip_ms: float) -> AsyncIterator[int]:
    """A port that leads to `port` of loopback, as if it were that far away."""
    loop = asyncio.get_running_loop()
    tasks: set[asyncio.Task[None]] = set()
    writers: list[asyncio.StreamWriter] = []

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            loop.call_later(round_trip_ms / 2000, _write, writer, data)
        loop.call_later(round_trip_ms / 2000, writer.close)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", port)
        writers.extend((writer, there_writer))
        for one in (carry(reader, there_writer), carry(there_reader, writer)):
            task = asyncio.create_task(one)
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for one in writers:
            one.transport.abort()
        await asyncio.sleep(0)  # their sockets are closed in the loop's next turn


def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    if not writer.is_closing():
        writer.write(data)
