"""Chooses the device store by DATABASE_URL and opens it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from shared.core.ids import WorkerId
from shared.log import log
from shared.settings import Settings
from shared.tasks import cancelled, happens
from workers.store.device import DeviceStore, StoreAway, StoreRefused
from workers.store.scratch import Scratch
from workers.store.sqlite import SqliteStore

RETRY_SECONDS = 2.0


def certificates_in(url: str) -> tuple[str, ...]:
    return tuple(parse_qs(urlsplit(url).query).get("sslrootcert", []))


@contextmanager
def _usable(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreRefused(f"aside, DATA_DIR {folder} cannot be used: {error}") from None


@asynccontextmanager
async def opened(config: Settings, worker: WorkerId, stop: asyncio.Event) -> AsyncIterator[DeviceStore | None]:
    """The device store; None if `stop` was set while Postgres was awaited. Raises `StoreRefused`, also for DATA_DIR."""
    if config.database_url is None:
        with _usable(config.data_dir):
            files = SqliteStore(config.data_dir, worker)
        try:
            yield files
        finally:
            files.scratch.close()
    else:
        async with _postgres(config.database_url.get_secret_value(), config, worker, stop) as store:
            yield store


@asynccontextmanager
async def _postgres(
    url: str, config: Settings, worker: WorkerId, stop: asyncio.Event
) -> AsyncIterator[DeviceStore | None]:
    # Imported only where there is a Postgres: the driver takes 5 MB.
    from workers.store.postgres import pgbouncer
    from workers.store.postgres.dsn import server_of
    from workers.store.postgres.reach import Reached, reached
    from workers.store.postgres.store import PostgresStore

    server = server_of(url)
    async with AsyncExitStack() as stack:
        postgres: Reached | None = None
        while postgres is None and not stop.is_set():
            try:
                postgres = await stack.enter_async_context(reached(server, pgbouncer.installed(), config.database_pool))
            except StoreAway as error:  # a worker may be started before its Postgres; it waits rather than dies
                log.warning("store.unreachable", error=str(error))
                await happens(stop, RETRY_SECONDS)
        if postgres is None:
            yield None
            return
        with _usable(config.data_dir):
            scratch = Scratch(config.data_dir, worker)
        stack.callback(scratch.close)
        store = PostgresStore(postgres, scratch)
        watching = asyncio.create_task(store.watch())
        try:
            yield store
        finally:
            await cancelled(watching)
