"""The service of this environment, as the commands use it: its Redis, its device store, and a life like a worker's."""

import asyncio
import itertools
import os
import secrets
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from arq.connections import ArqRedis

from shared import settings
from shared.core import keys
from shared.core.datum import Datum
from shared.core.ids import SessionId, WorkerId
from shared.jobs.queue import client, enqueue
from shared.settings import Settings
from shared.state import pool as redis_pool
from shared.state.lease import HEARTBEAT_MS, Lease, Leases
from shared.tasks import cancelled
from workers.moving.files import Template, read_device_rows
from workers.moving.rows import Rows
from workers.store.device import DeviceStore, Fence, StoredDevice
from workers.store.open import opened
from workers.store.scratch import discard


class Service(Datum):
    redis: ArqRedis
    store: DeviceStore
    me: WorkerId
    config: Settings
    template: Template
    """Its folder is thrown away with the service."""

    @property
    def database_url(self) -> str:
        """The Postgres of the device store; empty if it is files."""
        url = self.config.database_url
        return url.get_secret_value() if url is not None else ""

    @asynccontextmanager
    async def alive(self) -> AsyncIterator[Leases]:
        """Yield leases of this process, with the heartbeat that they need, as a worker's do."""
        leases = Leases(self.redis)
        await leases.beat(self.me, 1)

        async def beat() -> None:
            for number in itertools.count(2):
                await asyncio.sleep(HEARTBEAT_MS / 1000)
                await leases.beat(self.me, number)

        beating = asyncio.create_task(beat())
        try:
            yield leases
        finally:
            await cancelled(beating)

    @asynccontextmanager
    async def reader(self) -> AsyncIterator[Callable[[StoredDevice], Awaitable[Rows]]]:
        """Yield what reads all rows of a registered device, as they are at one moment; none if its keys are gone.

        A reading raises NotImportable and StoreAway."""
        if self.database_url:
            from workers.moving.postgres import reading  # only where there is a Postgres

            async with reading(self.database_url) as read:
                yield lambda device: read(device.jid)
        else:
            yield lambda device: asyncio.to_thread(read_device_rows, Path(device.database), device.jid)

    async def put(self, lease: Lease, device: StoredDevice, rows: Rows) -> None:
        """Register the device, whose keys are in `rows`, under the lease.

        Raises NotImportable, DeviceTaken, StoreFenced and OSError.
        """
        scratch = self.store.scratch.path(lease.session, lease.token)
        try:
            await self.template.write(rows, Path(scratch))
            await self.store.move_in(scratch, device, Fence(lease.token))
        finally:
            discard(scratch)

    async def offer(self, session: SessionId) -> None:
        """Have a worker take the session up."""
        await enqueue(self.redis, keys.QUEUE_SESSIONS, "resume", session)


@asynccontextmanager
async def open_service() -> AsyncIterator[Service]:
    """Open the service of this environment. Raises StoreRefused; waits while the store is away."""
    config = settings.read()
    me = WorkerId(f"moving-{os.getpid()}-{secrets.token_hex(3)}")
    redis = client(redis_pool.pool(config))
    try:
        with tempfile.TemporaryDirectory(prefix="moving-") as folder:
            async with opened(config, me, asyncio.Event()) as store:
                if store is not None:  # None only if it was stopped while it waited
                    yield Service(redis, store, me, config, Template(Path(folder)))
    finally:
        await redis.aclose(close_connection_pool=True)
