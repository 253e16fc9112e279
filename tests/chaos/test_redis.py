"""Redis is killed, hangs, forgets everything, cuts its clients off, refuses to write: the service comes back by itself."""

import asyncio
import contextlib
import signal
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from websockets import ConnectionClosed, InvalidHandshake

from app.local import redis as local_redis
from app.local.redis import LocalRedis
from emulator.client import Emulator
from shared.core.protocol import CloseCode
from shared.state.lease import LEASE_MS
from tests.chaos.invariants import Watch, all_quiet
from tests.e2e.stack import Stack, new_number
from tests.recovery import Recovery
from tests.waiting import beside, until

pytestmark = [pytest.mark.asyncio(loop_scope="session")]

BACK = 5.0
PLAN = 20
"""Connections of a small Redis plan."""


class Mortal:
    """A Redis that can be killed and started again, empty, under the same address."""

    def __init__(self, servers: ExitStack) -> None:
        self._servers = servers
        self._port = local_redis.free_port()
        self._server: LocalRedis

    def start(self) -> str:
        """Start one; its address, which is always the same."""
        folder = Path(self._servers.enter_context(tempfile.TemporaryDirectory(prefix="redis-")))
        self._server = self._servers.enter_context(local_redis.running(folder, port=self._port, password="kept"))
        return self._server.url

    def kill(self) -> None:
        """`kill -9`, and gone."""
        self._server.process.kill()
        self._server.process.wait()


async def test_a_redis_that_restarts_empty_loses_nothing_that_is_linked(
    emulator: Emulator, folder: Path, recovery: Recovery
) -> None:
    with ExitStack() as servers:
        redis = Mortal(servers)
        async with Stack.running(emulator, redis.start(), folder) as stack:
            held, number = await stack.linked()
            await stack.worker.said("session.logged-in", session=held["session"])
            link = await stack.link()
            async with stack.socket(link) as socket:
                await socket.send("request-qr")
                shown = await socket.snapshot(lambda s: "qr" in s)
            before = await emulator.now()
            redis.kill()
            redis.start()
            with recovery.within("Redis restarted, empty: attempt and session are shown again", BACK):
                await stack.worker.said("lease.retaken", session=held["session"])
                await stack.worker.said("lease.retaken", session=link["session"])
                await until(lambda: _is_in(stack, held, "linked"))
                await until(lambda: _is_in(stack, link, "awaiting_phone"))
            async with Watch(stack), stack.socket(link) as socket:
                now = socket.seen[-1]["snapshot"]
                assert now["state"] == "awaiting_phone"
                assert now["attempt"] > shown["attempt"]
                assert await emulator.phone(new_number()).scan(now["qr"]["text"]) == "confirmed"
                await socket.state("linked")
            assert (await stack.company(held))["state"] == "linked"
            answer = await stack.http.post(
                f"/api/v1/companies/{held['company']}/messages", json={"to": "+79161234567", "text": "Still up."}
            )
            assert answer.status_code == 202
            await emulator.wait_for("message.received", after=before, phone=number.lstrip("+"))
            events = await emulator.events(before, phone=number.lstrip("+"))
            assert "connection.closed" not in {event.kind for event in events}, "the session stayed up meanwhile"
            await all_quiet(stack)


async def _is_in(stack: Stack, link: dict[str, Any], state: str) -> bool:
    answer = await stack.http.get(f"/api/v1/companies/{link['company']}")
    return answer.status_code == 200 and bool(answer.json()["state"] == state)


async def _is_held(emulator: Emulator, after: int, phone: str) -> bool:
    """The linker's login was the first, and the holder's is the second."""
    kinds = [event.kind for event in await emulator.events(after, phone=phone)]
    return kinds.count("device.connected") == 2


async def test_a_redis_that_hangs_is_survived_without_two_holders(
    emulator: Emulator, own_redis: LocalRedis, folder: Path, recovery: Recovery
) -> None:
    async with Stack.running(emulator, own_redis.url, folder, workers=2) as stack, Watch(stack):
        began = await emulator.now()
        linked, number = await stack.linked()
        phone = number.lstrip("+")
        await until(lambda: _is_held(emulator, began, phone))
        before = await emulator.now()
        own_redis.process.send_signal(signal.SIGSTOP)
        try:
            for worker in stack.workers:
                await worker.said("heartbeat.missed")
            await asyncio.sleep(LEASE_MS / 1000 + 2)  # the outage itself: longer than any lease lives
        finally:
            own_redis.process.send_signal(signal.SIGCONT)
        with recovery.within("Redis hung, then back: a QR is shown", BACK):
            async with stack.socket(await stack.link()) as socket:
                await socket.send("request-qr")
                await socket.snapshot(lambda s: "qr" in s)
        events = {event.kind for event in await emulator.events(before, phone=phone)}
        assert not events & {"connection.closed", "device.connected"}, events
        assert (await stack.company(linked))["state"] == "linked"


async def _link_at_last(stack: Stack) -> dict[str, Any]:
    """A link, as an integrator gets it who comes back when he is told that Redis is away."""
    while True:
        with contextlib.suppress(AssertionError):
            return await stack.link()


async def test_a_storm_of_cut_connections_harms_nobody(emulator: Emulator, own_redis: LocalRedis, folder: Path) -> None:
    async with Stack.running(emulator, own_redis.url, folder) as stack, Watch(stack):

        async def storm() -> None:
            async with Redis.from_url(own_redis.url) as redis:
                while True:
                    for kind in ("normal", "pubsub"):
                        await redis.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
                    await asyncio.sleep(0.1)

        async with beside(storm()) as storming:
            links = [await _link_at_last(stack) for _ in range(5)]
            for link in links:
                number = new_number()
                # A socket may be closed by the storm; its browser would come back, as this does.
                while True:
                    try:
                        async with stack.socket(link) as socket:
                            await socket.send("request-qr")
                            shown = await socket.snapshot(lambda s: "qr" in s, seconds=5)
                            break
                    except (AssertionError, OSError, ConnectionClosed, InvalidHandshake):
                        continue
                assert await emulator.phone(number).scan(shown["qr"]["text"]) == "confirmed"
            assert not storming.done()
        for link in links:
            async with stack.socket(link) as socket:
                if socket.seen[-1]["snapshot"]["state"] != "linked":
                    await socket.state("linked")


async def test_a_redis_that_refuses_writes_is_told_to_the_page_and_forgiven(
    emulator: Emulator, own_redis: LocalRedis, folder: Path
) -> None:
    async with Stack.running(emulator, own_redis.url, folder) as stack:
        link = await stack.link()
        async with stack.socket(link) as socket:
            await stack.redis.config_set("maxmemory", "1")
            await socket.send("request-qr")
            assert await socket.closed() == CloseCode.RESTART
        await stack.redis.config_set("maxmemory", "0")
        async with stack.socket(link) as socket:
            await socket.send("request-qr")
            await socket.snapshot(lambda s: "qr" in s)


async def test_two_webs_and_two_workers_fit_a_small_plan_through_a_rolling_restart(
    emulator: Emulator, own_redis: LocalRedis, folder: Path
) -> None:
    async with Stack.running(emulator, own_redis.url, folder, workers=2) as stack:
        # A second web, on its own port.
        other = Stack(emulator, own_redis.url, folder)
        other.tag = stack.tag
        await other.start_web()
        most = 0

        async def count() -> None:
            nonlocal most
            while True:
                most = max(most, len(await stack.redis.client_list()) - 1)
                await asyncio.sleep(0.05)

        async with beside(count()):
            await asyncio.gather(*(stack.linked() for _ in range(6)))
            assert most <= 4 * 5, most
            # Hosts start the new one before they stop the old one.
            for old in list(stack.workers):
                await stack.start_worker()
                stack.workers.remove(old)
                await old.stop()
        await other.close()
        assert most <= PLAN, most
