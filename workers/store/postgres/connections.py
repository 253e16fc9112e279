"""The worker's own connections to Postgres: at most two, opened when needed, closed when idle.

Every use is one explicit transaction. asyncpg parses and runs a statement in two round trips; behind a transaction pooler
only a transaction keeps the two on one server connection.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from typing import Any, Protocol, TypeVar, cast

import asyncpg

from workers.store.device import StoreAway
from workers.store.postgres.dsn import Server

T = TypeVar("T")


class Connection(Protocol):
    """The part of asyncpg's connection that we use; it comes without types."""

    async def execute(self, query: str, *values: object, timeout: float | None = None) -> str: ...  # noqa: ASYNC109
    async def fetch(self, query: str, *values: object) -> list[Any]: ...
    async def fetchval(self, query: str, *values: object) -> Any: ...
    def transaction(self) -> AbstractAsyncContextManager[None]: ...
    def get_server_pid(self) -> int: ...
    async def close(self, *, timeout: float) -> None: ...  # noqa: ASYNC109
    def terminate(self) -> None: ...


Work = Callable[[Connection], Awaitable[T]]

MOST = 2
IDLE_SECONDS = 5.0
CONNECT_SECONDS = 10.0
COMMAND_SECONDS = 10.0
"""Limit of one statement. PgBouncer lets a client wait longer for a connection (30 s), but ours can be tried again."""

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
        if any(words in str(error) for words in ("closed", "released back", "another operation")):
            raise StoreAway(str(error)) from error
        raise
    except (OSError, TimeoutError, EOFError) as error:
        if isinstance(error, StoreAway):
            raise
        raise StoreAway(f"{type(error).__name__}: {error}") from error


def _options(server: Server, seconds: float) -> dict[str, Any]:
    return server.arguments() | {
        "timeout": CONNECT_SECONDS,
        "command_timeout": seconds,
        "statement_cache_size": 0,  # named statements would live in somebody else's server connection
        "server_settings": {"application_name": "wa-worker"},
    }


async def connect(server: Server, seconds: float = COMMAND_SECONDS) -> Connection:
    """A connection with `seconds` for each statement. Raises what asyncpg raises; see `translated`."""
    return cast(Connection, await asyncpg.connect(**_options(server, seconds)))


async def _leave_as_it_is(_: Connection) -> None:
    """A connection that is given back needs no further statement: every use was a whole transaction."""


class Connections:
    """Runs work in transactions, over at most `MOST` connections."""

    def __init__(self, server: Server, *, seconds: float = COMMAND_SECONDS) -> None:
        """`seconds` for each statement, and for a connection to become free."""
        self._seconds = seconds
        self._pool = asyncpg.create_pool(
            **_options(server, seconds),
            min_size=0,
            max_size=MOST,
            max_inactive_connection_lifetime=IDLE_SECONDS,
            reset=_leave_as_it_is,
        )

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
        pool = await self._pool
        while True:
            kept = pool.get_idle_size() > 0
            with translated():  # a queue that does not move is a store that is away
                async with asyncio.timeout(self._seconds):
                    connection = await pool.acquire()
            try:
                with translated():
                    return await work(connection)
            except asyncpg.PostgresError:
                raise  # rolled back
            except BaseException as error:
                with suppress(asyncpg.InterfaceError):  # which has ended by itself
                    connection.terminate()  # else it would be waited for
                if not kept or not isinstance(error, StoreAway):
                    raise
            finally:
                await pool.release(connection)

    async def aclose(self) -> None:
        """Close what is idle; nothing may be running."""
        (await self._pool).terminate()
