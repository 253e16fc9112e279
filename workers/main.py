"""The worker process: everything is made here, passed on, and taken down in order when SIGTERM comes.

One file, as it is the one place where all parts meet.
"""

from shared import lean  # isort: split

import asyncio
import os
import secrets
import signal
import sys
from collections.abc import Awaitable
from functools import partial

import uvloop

from shared import settings
from shared.core import keys
from shared.core.clock import now_ms
from shared.core.ids import SessionId, WorkerId
from shared.core.webversion import parse_wish
from shared.jobs.queue import QueueWorker, client, enqueue, enqueue_all
from shared.jobs.wake import listen_for_calls
from shared.log import log
from shared.private import keep_private
from shared.settings import Settings
from shared.state import pool as redis_pool
from shared.state.claims import Claims
from shared.state.contacts import Contacts
from shared.state.cooldowns import Cooldowns
from shared.state.events import EventShelf, News
from shared.state.forgetting import Forgetting
from shared.state.lease import Leases
from shared.state.outbox import Outbox
from shared.state.receivers import Receivers
from shared.state.rescue import Rescue
from shared.state.snapshots import Snapshots
from shared.state.switches import Board, Switches
from shared.state.webrevision import WebRevisions
from shared.tasks import cancelled, outlived
from shared.telemetry import logs, sentry
from workers.capacity import capacity, memory_mb
from workers.delivery import Webhooks
from workers.engine.pool import LinkerPool
from workers.engine.processes import Engines, Options
from workers.holding.holders import Holders
from workers.holding.session import Links
from workers.holding.sessions import Sessions
from workers.holding.tidying import Tidying
from workers.jobs import Jobs
from workers.lastwill.left import last_will
from workers.linking.attempt import Attempt, Order, Parts
from workers.media import MediaHost, reach
from workers.ownership import Ownership
from workers.places import Places
from workers.report import Report
from workers.store.device import DeviceStore, StoreRefused
from workers.store.open import certificates_in, opened
from workers.store.scratch import linking_folder
from workers.store.sqlite import devices_folder
from workers.sweeper import Sweeper
from workers.version.keeper import WebVersion, read_installed
from workers.version.source import fetch_revision

lean.ready()

SWEEP_SECONDS = 60.0
STOP_SECONDS = 18.0
"""From SIGTERM to the end of the process, at most; hosts kill after 30."""
SPARE_LINKERS = 1
RESUMED_AT_ONCE = 8
"""Sessions that one worker takes up at a time. It leaves the rest for other workers."""


class Worker:
    def __init__(self, config: Settings) -> None:
        self._config = config
        self._pool = redis_pool.pool(config)
        self._redis, self._calls = client(self._pool), redis_pool.subscriber(config)
        self.id = WorkerId(f"{os.uname().nodename[:24]}-{os.getpid()}-{secrets.token_hex(3)}")
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def _proxy(self) -> str | None:
        """The proxy to WhatsApp, for sessions and for this worker's own requests. None: as the environment says."""
        proxy = self._config.whatsapp_proxy_url
        return proxy.get_secret_value() if proxy is not None else None

    def spawn(self, work: Awaitable[object], name: str) -> None:
        """Run something beside everything else. Its bugs are reported, and end nothing else."""

        async def guarded() -> None:
            try:
                with outlived("task.interrupted", task=name):
                    await work
            except Exception as error:  # noqa: BLE001 - a task's own border
                sentry.report(name, error)

        task = asyncio.create_task(guarded())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def run(self) -> None:
        """Work until SIGTERM or SIGINT."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for one in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(one, stop.set)
        redis_pool.follow(self._pool, self._calls)
        data, database = self._config.data_dir, self._config.database_url
        options = Options(
            device_name=self._config.device_name,
            proxy_url=self._proxy,
            linking=(str(linking_folder(data, self.id)),),
            devices=() if database else (str(devices_folder(data)),),
            reads=certificates_in(database.get_secret_value()) if database else (),
        )
        try:
            async with opened(self._config, self.id, stop) as store:
                if store is not None:
                    heap_mb = capacity(self._config, memory_mb()).heap_mb
                    async with (
                        last_will(self.id) as life_line,
                        Engines(options, heap_mb=heap_mb, life_line=life_line) as engines,
                        LinkerPool(engines, SPARE_LINKERS) as linkers,
                    ):
                        await self._work(stop, engines, linkers, store)
        finally:
            await self._redis.aclose(close_connection_pool=True)
            await self._calls.aclose(close_connection_pool=True)
        log.info("worker.stopped", worker=self.id)

    async def _work(self, stop: asyncio.Event, engines: Engines, linkers: LinkerPool, store: DeviceStore) -> None:
        redis, config, news = self._redis, self._config, News(self._config.told_events)
        receivers = Receivers(config, redis)
        webhooks = Webhooks(config, EventShelf(redis, news), receivers, self.spawn)
        leases, claims, snapshots = Leases(redis), Claims(redis, news), Snapshots(redis, news)
        version = await self._version(engines, linkers)
        switches = Switches(redis, lambda board: self._obey(board, stop, version))
        most = capacity(config, memory_mb())
        ownership = Ownership(leases, self.id, on_lapsed=self._call_sweep, on_beat=engines.alive)
        outbox = Outbox(redis, rate=config.max_rate, news=news)
        sweeper = Sweeper(redis, leases, Rescue(redis, news), snapshots, store, outbox, self.id, config.device_name)
        cooldowns = Cooldowns(redis, config.secret_key)
        contacts = Contacts(redis, config.secret_key)
        places = Places(most.attempts)
        media = MediaHost(partial(reach, self._proxy))
        tools = (claims, cooldowns, snapshots, ownership, store, config.device_name)  # of attempts and of held sessions
        links = Links(
            *tools, outbox, contacts, webhooks.heard, receivers.want_inbound, media, self._offer_at, self.spawn
        )
        holders = Holders(engines, self.spawn)
        sessions = Sessions(links, holders, version, most=most.sessions, reserved=lambda: places.taken)
        ownership.on_alone = sessions.ask_store
        self._pool.on_change(ownership.another_server)
        version.listen(sessions.newer, sessions.try_refused)

        ways_on = (sessions.adopt, sessions.refuse, sweeper.restart, lambda session: self._offer([("unlink", session)]))
        parts = Parts(*tools, linkers, *ways_on, switches, version)
        forgetting = Forgetting(redis, config.secret_key)
        jobs = Jobs(redis, leases, ownership, parts, sessions, sweeper, places, forgetting, self.spawn)
        linking = QueueWorker(
            keys.QUEUE_LINKING, jobs.linking, redis, worker=self.id, free=lambda: places.free, beside=jobs.dialling
        )
        anywhere = QueueWorker(keys.QUEUE_SESSIONS, jobs.anywhere, redis, worker=self.id)
        resuming = QueueWorker(
            keys.QUEUE_RESUME, jobs.resuming, redis, worker=self.id, free=lambda: min(sessions.free, RESUMED_AT_ONCE)
        )
        here = QueueWorker(keys.queue_worker(self.id), jobs.here, redis, worker=self.id)
        places.on_free = linking.wake
        queues = (linking, anywhere, resuming, here)
        await self._wait_for_redis(stop)
        await version.look()  # before anything logs in: the others may know that our own version is refused
        background = [
            asyncio.create_task(work)
            for work in (
                ownership.run(),
                listen_for_calls(
                    self._calls, queues, {keys.SWITCH_CHANNEL: switches.call, keys.WEBHOOKS: webhooks.call}
                ),
                switches.run(),
                webhooks.run(),
                version.run(),
                holders.watch(most.holder_mb),
                Tidying(store, lambda: sessions.devices).run(),
                media.run(),
                Report(redis, self.id, places, sessions, store, version, media, most.sessions, engines).run(),
                self._sweep_now_and_then(),
                *(one.async_run() for one in queues),
            )
        ]
        log.info("worker.started", worker=self.id)
        stopping = asyncio.create_task(stop.wait())
        done, _ = await asyncio.wait([stopping, *background], return_when=asyncio.FIRST_COMPLETED)
        log.info("worker.stopping", worker=self.id)
        with outlived("worker.stop-cut-short"):
            async with asyncio.timeout(STOP_SECONDS):
                await asyncio.gather(*(one.drain(1.0) for one in queues))
                await self._hand_over(ownership, sessions, places, sweeper)
                if switches.board.draining(self.id):
                    await switches.throw(f"drain:{self.id}", "", by=self.id, why="drained")
        await asyncio.gather(*(cancelled(task) for task in (*background, *self._tasks, stopping)))
        await webhooks.close()
        for task in done - {stopping}:
            task.result()  # a background task that ended by itself is a bug: let it be seen

    async def _wait_for_redis(self, stop: asyncio.Event) -> None:
        """Wait for a Redis that is started later than this worker."""
        while not stop.is_set():
            with outlived("redis.unreachable"):
                await self._redis.ping()
                return
            await asyncio.sleep(0.5)

    async def _version(self, engines: Engines, linkers: LinkerPool) -> WebVersion:
        folder, wish = self._config.data_dir.resolve() / "engine", parse_wish(self._config.whatsapp_web_version)
        fetch, library = partial(fetch_revision, self._proxy), await read_installed()
        return WebVersion(engines, linkers, WebRevisions(self._redis), fetch, folder, wish, library)

    async def _call_sweep(self) -> None:
        await enqueue(self._redis, keys.QUEUE_SESSIONS, "sweep")

    async def _sweep_now_and_then(self) -> None:
        """Call a sweep at the start, which also resumes registered sessions, and every minute: one worker for all."""
        at_start = True
        while True:
            pause = 1.0
            with outlived("sweep.uncalled"):
                if at_start or await self._redis.pttl(keys.SWEPT) <= 0:
                    await self._call_sweep()
                at_start, pause = False, SWEEP_SECONDS
            await asyncio.sleep(pause)

    def _obey(self, board: Board, stop: asyncio.Event, version: WebVersion) -> None:
        """Do what the switches say: somebody has thrown one."""
        version.obey(board.web_version)
        logs.set_level(board.log_level or self._config.log_level)
        if board.draining(self.id):
            log.warning("worker.draining", worker=self.id)
            stop.set()

    async def _hand_over(self, ownership: Ownership, sessions: Sessions, places: Places, sweeper: Sweeper) -> None:
        """Have attempts begin anew elsewhere. Close the sessions, then give them back, then offer them to other workers."""
        for attempt in ownership.owners(Attempt):
            attempt.order(Order.HAND_OVER)
        await self._offer(await sessions.hand_over())
        await places.empty()
        await self._offer(await sessions.hand_over())  # a phone may have agreed meanwhile
        ownership.rest()
        await sweeper.bury(self.id)

    async def _offer_at(self, session: SessionId, at: int) -> None:
        """Have any worker take the session up at that moment (ms since the epoch)."""
        after = max(0.0, (at - now_ms()) / 1000)
        await enqueue(self._redis, keys.QUEUE_SESSIONS, "resume", session, after=after)

    async def _offer(self, jobs: list[tuple[str, SessionId]]) -> None:
        resume = {f"resume:{session}": [session] for job, session in jobs if job == "resume"}
        await enqueue_all(self._redis, keys.QUEUE_RESUME, "resume", resume)
        for job, session in jobs:
            if job != "resume":
                await enqueue(self._redis, keys.QUEUE_SESSIONS, job, session)


def main() -> None:
    keep_private()
    config = settings.read()
    logs.configure(config, "worker")
    sentry.configure(config, "worker")
    try:
        uvloop.run(Worker(config).run())
    except StoreRefused as error:
        sys.stderr.write(f"configuration: DATABASE_URL {error}\nSee docs/device-store.md.\n")
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
