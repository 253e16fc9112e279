"""The worker's way to Postgres, and the databases that it refuses at start because they would corrupt or leak later.

* `OWN`: a PgBouncer of ours beside the worker, where one is installed;
* `THEIRS`: DATABASE_URL already leads to a transaction pooler;
* `DIRECT`: otherwise; the server closes idle connections, and starts are paced.

docs/device-store.md says why, with the measurements.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import asyncpg

from shared.core.datum import Datum
from shared.log import log
from workers.store.device import StoreAway, StoreRefused, Way
from workers.store.postgres import pgbouncer
from workers.store.postgres import tables as store_tables
from workers.store.postgres.connections import COMMAND_SECONDS, Connection, Connections, connect, translated
from workers.store.postgres.dsn import IDLE_SECONDS, Server

OLDEST_DIRECT = 14
"""The first Postgres that closes idle connections by itself."""
TRIES = 30
"""Turns of two clients; if they share no connection by then, the pooler gives each one of its own."""


class Reached(Datum):
    """The way, the worker's connections, the library's DSN. `pace`: seconds between two starts, if each leaves connections
    behind for a while."""

    way: Way
    connections: Connections
    dsn: str
    pace: float


@asynccontextmanager
async def reached(
    server: Server, binary: str | None, most: int, *, seconds: float = COMMAND_SECONDS
) -> AsyncIterator[Reached]:
    """Postgres with all tables in it. `binary`: a PgBouncer, if there is one; `most`: connections that it may open;
    `seconds` for each statement of the worker's own. Raises like `way_to`."""
    way = await way_to(server, pooler=binary is not None)
    async with AsyncExitStack() as stack:
        if way is Way.OWN and binary is not None:
            server = (await stack.enter_async_context(pgbouncer.PgBouncer(server, binary, most))).front
        connections = Connections(server, seconds=seconds)
        dsn = server.library_dsn(pooled=way is not Way.DIRECT)
        # A start opens two connections, which linger until the server closes them.
        pace = 2 * IDLE_SECONDS / most if way is Way.DIRECT else 0.0
        stack.push_async_callback(connections.aclose)
        await store_tables.ensure(connections, dsn)
        log.info("store.opened", way=way.value, connections=most if way is Way.OWN else None)
        yield Reached(way, connections, dsn, pace)


async def way_to(server: Server, *, pooler: bool) -> Way:
    """Find the way to a server; `pooler`: we could start a PgBouncer of our own. Raises `StoreAway`, `StoreRefused`."""
    first = await _first(server)
    try:
        with translated():
            if await _pid(first) != first.get_server_pid():
                if not await _by_transaction(first, server):
                    raise StoreRefused(
                        "leads to a pooler that gives each session connections of its own, which some sessions would "
                        "use up for ever: set it to pool_mode=transaction, or name the server itself"
                    )
                return Way.THEIRS
            version = int(await first.fetchval("SHOW server_version_num")) // 10000
    finally:
        first.terminate()
    if pooler:
        return Way.OWN
    if version < OLDEST_DIRECT:
        raise StoreRefused(
            f"leads to PostgreSQL {version}, which keeps idle connections for ever: install pgbouncer beside the "
            f"worker, or use PostgreSQL {OLDEST_DIRECT} or newer"
        )
    return Way.DIRECT


async def _first(server: Server) -> Connection:
    try:
        with translated():
            return await connect(server)
    except StoreAway as error:
        cause = error.__cause__
        if isinstance(cause, asyncpg.InvalidAuthorizationSpecificationError):
            raise StoreRefused("names a user whom Postgres does not let in, or not with this password") from cause
        if isinstance(cause, asyncpg.InvalidCatalogNameError):
            raise StoreRefused("names a database that does not exist") from cause
        raise


async def _pid(connection: Connection) -> int:
    async with connection.transaction():
        return int(await connection.fetchval("SELECT pg_backend_pid()"))


async def _by_transaction(first: Connection, server: Server) -> bool:
    """True if two clients of the pooler ever get the same server connection at once, each at its turn."""
    second = await connect(server)
    try:
        seen: tuple[set[int], set[int]] = (set(), set())
        for _ in range(TRIES):
            seen[0].add(await _pid(first))
            seen[1].add(await _pid(second))
            if seen[0] & seen[1]:
                return True
        return False
    finally:
        second.terminate()
