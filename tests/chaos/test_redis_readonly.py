"""A Redis that answers and takes no writes: callers are told to come again, nothing is anybody's bug, and all is well
within seconds of its end."""

import contextlib
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack
from pathlib import Path
from typing import Any

import pytest

from emulator.client import Emulator
from shared.core.protocol import CloseCode
from tests.chaos.servers import Name, Server, server
from tests.e2e.stack import Stack
from tests.recovery import Recovery
from tests.waiting import until

pytestmark = [pytest.mark.asyncio(loop_scope="session")]

BACK = 5.0
TEXT = {"to": "+79161234567", "text": "Still up."}
NEW = {"companyId": "salon-in-vain", "companyName": "Aurora"}
BUGS = {"operation.crashed"}

Refusing = Callable[[Server], AbstractAsyncContextManager[None]]


@pytest.fixture
def servers() -> Iterator[ExitStack]:
    """Servers that are gone after the test."""
    with ExitStack() as stack:
        yield stack


@contextlib.asynccontextmanager
async def _full(redis: Server) -> AsyncIterator[None]:
    async with redis.asked() as asked:
        await asked.config_set("maxmemory", "1")
        yield
        await asked.config_set("maxmemory", "0")


@contextlib.asynccontextmanager
async def _without_replicas(redis: Server) -> AsyncIterator[None]:
    async with redis.asked() as asked:
        await asked.config_set("min-replicas-to-write", "3")
        yield
        await asked.config_set("min-replicas-to-write", "0")


@contextlib.asynccontextmanager
async def _without_disk(redis: Server) -> AsyncIterator[None]:
    async with redis.asked() as asked:
        await asked.config_set("save", "3600 1")
        shutil.rmtree(redis.folder)
        await asked.bgsave()

        async def failed() -> bool:
            return bool((await asked.info("persistence"))["rdb_last_bgsave_status"] == "err")

        await until(failed)
        yield
        redis.folder.mkdir()
        await asked.config_set("save", "")


@contextlib.asynccontextmanager
async def _without_rights(redis: Server) -> AsyncIterator[None]:
    async with redis.asked() as asked:
        await asked.execute_command("ACL SETUSER default -evalsha -eval -set -hset -zadd")
        yield
        await asked.execute_command("ACL SETUSER default +@all")


REFUSING: dict[str, Refusing] = {
    "OOM": _full,
    "NOREPLICAS": _without_replicas,
    "MISCONF": _without_disk,
    "NOPERM": _without_rights,
}


async def test_a_redis_that_refuses_is_told_and_forgiven(
    emulator: Emulator, folder: Path, servers: ExitStack, recovery: Recovery
) -> None:
    redis = servers.enter_context(server())
    async with Stack.running(emulator, redis.url, folder) as stack:
        held, number = await _held(stack)
        before = await emulator.now()
        for word, refusing in REFUSING.items():
            link = await stack.link()
            async with refusing(redis):
                await _is_told(stack, held, link, word)
            with recovery.within(f"Redis said {word}: QR and text work again", BACK):
                await _serves(stack, held, number)
        await _nothing_happened(stack, before, number)


async def _held(stack: Stack) -> tuple[dict[str, Any], str]:
    """A company whose session stays where it is, however long it takes: its link and its phone."""
    link, number = await stack.linked()
    await stack.worker.said("session.logged-in", session=link["session"])
    await stack.resume()
    await stack.worker.said("session.logged-in", session=link["session"])
    return link, number


async def _is_told(stack: Stack, held: dict[str, str], link: dict[str, Any], word: str) -> None:
    """The integrator, the monitor and the page hear that it is Redis, and that they are to come again."""
    async with stack.socket(link) as socket:
        for path, body in ((f"/companies/{held['company']}/messages", TEXT), ("/links", NEW)):
            refused = await stack.http.post(f"/api/v1{path}", json=body)
            assert (refused.status_code, refused.json()["type"]) == (503, "/problems/redis-is-away"), refused.text
            assert word in refused.json()["detail"]
            assert refused.headers["retry-after"]
        ready = await stack.http.get("/readyz")
        assert ready.status_code == 503
        assert word in ready.json()["redis"]
        await socket.send("request-qr")
        assert await socket.closed() == CloseCode.RESTART  # the page comes back by itself, and says it again


async def test_a_primary_that_became_a_replica_is_left(
    emulator: Emulator, folder: Path, servers: ExitStack, recovery: Recovery
) -> None:
    one, other = servers.enter_context(server()), servers.enter_context(server())
    await other.follow(one)
    async with Name(one) as name, Stack.running(emulator, name.url, folder) as stack:
        held, number = await _held(stack)
        before = await emulator.now()
        await other.lead()
        async with one.asked() as old:
            await old.replicaof("127.0.0.1", str(other.port))
        name.to = other  # the connections stay, and are told READONLY
        with recovery.within("fail-over to a replica behind one name: QR and text work again", BACK):
            await _serves(stack, held, number)
        await _nothing_happened(stack, before, number)


async def test_sentinels_name_the_primary_and_the_next_one(
    emulator: Emulator, folder: Path, servers: ExitStack, recovery: Recovery
) -> None:
    one, other = servers.enter_context(server()), servers.enter_context(server())
    await other.follow(one)
    sentinel = servers.enter_context(
        server(
            f"sentinel monitor main 127.0.0.1 {one.port} 1",
            "sentinel down-after-milliseconds main 1000",
            "sentinel failover-timeout main 5000",
            sentinel=True,
        )
    )
    async with sentinel.asked() as asked:

        async def knows_both() -> bool:
            return len(await asked.sentinel_slaves("main")) == 1

        await until(knows_both)
        url = f"redis+sentinel://127.0.0.1:1,127.0.0.1:{sentinel.port}/main/0"
        async with Stack.running(emulator, url, folder, redis=one.url) as stack:
            held, number = await _held(stack)
            before = await emulator.now()
            await asked.execute_command("SENTINEL FAILOVER main")

            async def moved() -> bool:
                _host, port = await asked.execute_command("SENTINEL GET-MASTER-ADDR-BY-NAME", "main")
                return int(port) == other.port

            await until(moved)
            with recovery.within("sentinels' fail-over: QR and text work again", BACK):
                await _serves(stack, held, number)
            await _nothing_happened(stack, before, number)


async def _serves(stack: Stack, held: dict[str, str], number: str) -> None:
    """A text leaves through the linked session, and a new company sees a QR."""
    before = await stack.emulator.now()

    async def sends() -> bool:
        answer = await stack.http.post(f"/api/v1/companies/{held['company']}/messages", json=TEXT)
        assert answer.status_code in {202, 503}, answer.text
        return answer.status_code == 202

    await until(sends)
    await stack.emulator.wait_for("message.received", after=before, phone=number.lstrip("+"))
    async with stack.socket(await stack.link()) as socket:
        await socket.send("request-qr")
        shown = await socket.snapshot(lambda s: "qr" in s)
    assert shown["state"] == "awaiting_phone"


async def _nothing_happened(stack: Stack, before: int, number: str) -> None:
    """The session stayed connected, and nobody reported a bug."""
    events = await stack.emulator.events(before, phone=number.lstrip("+"))
    assert "connection.closed" not in {event.kind for event in events}, events
    for service in (stack.web, *stack.workers):
        assert not [line for line in service.lines if line["event"] in BUGS or line.get("level") == "critical"]
