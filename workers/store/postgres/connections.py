"""The worker's own connections to Postgres: at most two, opened when needed, closed when idle.

Every use is one explicit transaction. asyncpg parses and runs a statement in two round trips; behind a transaction pooler
only a transaction keeps the two on one server connection.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, Protocol, TypeVar, cast

import asyncpg

from workers.store.device import StoreAway

T = TypeVar("T")


class Connection(Protocol):
    """The part of asyncpg's connection that we use; it comes without types."""

    async def execute(self, query: str, *values: object, timeout: float | None = None) -> str:  # noqa: ASYNC109
        """Run a statement, or several when there are no values."""
        ...

    async def fetch(self, query: str, *values: object) -> list[Any]:
        """All rows, each like a tuple."""
        ...

    async def fetchval(self, query: str, *values: object) -> Any:
        """The first column of the first row, or None."""
        ...

    def transaction(self) -> AbstractAsyncContextManager[None]:
        """From BEGIN to COMMIT, or to ROLLBACK."""
        ...

    def get_server_pid(self) -> int:
        """Process id that the other end named when we connected; a pooler makes it up."""
        ...

    def is_closed(self) -> bool:
        """By whichever end."""
        ...

    async def close(self, *, timeout: float) -> None:  # noqa: ASYNC109
        """Politely."""
        ...

    def terminate(self) -> None:
        """At once."""
        ...


Work = Callable[[Connection], Awaitable[T]]

MOST = 2
IDLE_SECONDS = 5.0
CONNECT_SECONDS = 10.0
COMMAND_SECONDS = 10.0
"""For one statement. Shorter than PgBouncer lets one wait for a connection (30 s): ours can be tried again."""

#: Classes of SQLSTATE that tell of the server's state rather than of our statement: connection, resources,
#: intervention, system; a deadlock or failed serialisation; a server that only reads (a fail-over); a login that was
#: right when the worker started.
_AWAY = ("08", "53", "57", "58", "40", "25006", "28", "3D")


@contextmanager
def translated() -> Iterator[None]:
    """Raises `StoreAway` for whatever means that the store is out of reach for now, and lets pass what is a bug."""
    try:
        yield
    except asyncpg.PostgresError as error:
        if (error.sqlstate or "08").startswith(_AWAY):
            raise StoreAway(f"{type(error).__name__} ({error.sqlstate})") from error
        raise
    except asyncpg.InternalClientError as error:
        raise StoreAway(type(error).__name__) from error
    except asyncpg.InterfaceError as error:
        if "closed" in str(error) or "another operation" in str(error):
            raise StoreAway(str(error)) from error
        raise
    except (OSError, TimeoutError, EOFError) as error:
        if isinstance(error, StoreAway):
            raise
        raise StoreAway(f"{type(error).__name__}: {error}") from error


async def connect(arguments: dict[str, Any], *, seconds: float = COMMAND_SECONDS) -> Connection:
    """A connection by the arguments of `Server.arguments`; `seconds` for each statement.

    Raises what asyncpg raises; see `translated`."""
    connection = await asyncpg.connect(
        **arguments,
        timeout=CONNECT_SECONDS,
        command_timeout=seconds,
        statement_cache_size=0,  # named statements would live in somebody else's server connection
        server_settings={"application_name": "wa-worker"},
    )
    return cast(Connection, connection)


class Connections:
    """Runs work in transactions, over at most `MOST` connections."""

    def __init__(self, arguments: dict[str, Any], *, seconds: float = COMMAND_SECONDS) -> None:
        """`arguments` as of `Server.arguments`; `seconds` for each statement."""
        self._arguments = arguments
        self._seconds = seconds
        self._places = asyncio.Semaphore(MOST)
        self._idle: list[Connection] = []
        self._timer: asyncio.TimerHandle | None = None
        self._closing: set[asyncio.Task[None]] = set()

    async def run(self, work: Work[T]) -> T:
        """Do `work` in one transaction, and return its result.

        `work` is idempotent: it is run a second time when a connection that was kept turns out to be dead. Raises
        `StoreAway` when Postgres is out of reach; whether the transaction took place is then unknown.
        """

        async def whole(connection: Connection) -> T:
            async with connection.transaction():
                return await work(connection)

        return await self._run(whole)

    async def script(self, statements: str) -> None:
        """Run statements without values as one query, which is a transaction and a single round trip; as `run`."""
        await self._run(lambda connection: connection.execute(statements))

    async def _run(self, work: Work[T]) -> T:
        with translated():  # a queue that does not move is a store that is away
            async with asyncio.timeout(self._seconds):
                await self._places.acquire()
        try:
            return await self._on_a_connection(work)
        finally:
            self._places.release()

    async def _on_a_connection(self, work: Work[T]) -> T:
        while True:
            connection, kept = self._kept(), True
            with translated():
                if connection is None:
                    connection, kept = await connect(self._arguments, seconds=self._seconds), False
            try:
                with translated():
                    result = await work(connection)
            except StoreAway:
                connection.terminate()
                if not kept:
                    raise
            except asyncpg.PostgresError:
                self._keep(connection)  # rolled back
                raise
            except BaseException:
                connection.terminate()
                raise
            else:
                self._keep(connection)
                return result

    async def aclose(self) -> None:
        """Close what is idle; nothing may be running."""
        self._close_idle()
        while self._closing:
            await asyncio.wait(self._closing)

    def _kept(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
        return None

    def _keep(self, connection: Connection) -> None:
        if connection.is_closed():
            return
        self._idle.append(connection)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._close_idle)

    def _close_idle(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        while self._idle:
            task = asyncio.create_task(_close(self._idle.pop()))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)


async def _close(connection: Connection) -> None:
    try:
        await connection.close(timeout=2)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        connection.terminate()
