"""Redis comes back with an older state: its file lost its tail, or a replica that lagged was promoted. Owners know better,
and say so; nobody who is linked is torn down, and no page stays behind."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from pathlib import Path

import pytest

from emulator.client import Emulator
from tests.chaos.invariants import all_quiet
from tests.chaos.servers import Name, Server, server
from tests.e2e.stack import Socket, Stack, new_number
from tests.recovery import Recovery
from tests.waiting import until

pytestmark = [pytest.mark.asyncio(loop_scope="session")]

BACK = 5.0
TEXT = {"to": "+79161234567", "text": "Still up."}


class TailCut:
    """A server with an append-only file, of which a crash loses the end."""

    def __init__(self, servers: ExitStack) -> None:
        self._server = servers.enter_context(server("--appendonly", "yes"))
        self._size = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """Where it is."""
        yield self._server.url

    def _file(self) -> Path:
        return next(self._server.folder.glob("appendonlydir/*.incr.aof"))

    async def mark(self) -> None:
        """It will go back to this moment."""
        self._size = self._file().stat().st_size

    async def go_back(self) -> None:
        """It crashes, and starts with what its disk has kept."""
        self._server.kill()
        with self._file().open("r+b") as file:
            file.truncate(self._size)
        self._server.start()


class Lagging:
    """A primary, and a replica that stopped to follow it; the replica is promoted when the primary dies."""

    def __init__(self, servers: ExitStack) -> None:
        self._one: Server = servers.enter_context(server())
        self._other: Server = servers.enter_context(server())
        self._name = Name(self._one)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """The name of whichever is the primary."""
        await self._other.follow(self._one)
        async with self._name as name:
            yield name.url

    async def mark(self) -> None:
        """From now on nothing reaches the replica."""
        async with self._one.asked() as primary, self._other.asked() as replica:
            told = (await primary.info("replication"))["master_repl_offset"]

            async def is_level() -> bool:
                return bool((await replica.info("replication"))["slave_repl_offset"] >= told)

            await until(is_level)
        await self._other.lead()

    async def go_back(self) -> None:
        """The primary dies."""
        self._one.kill()
        self._name.to = self._other


@pytest.fixture
def servers() -> Iterator[ExitStack]:
    """Servers that are gone after the test."""
    with ExitStack() as stack:
        yield stack


@pytest.mark.parametrize("kind", [TailCut, Lagging])
async def test_a_redis_that_went_back_is_put_right_by_the_owners(
    emulator: Emulator,
    folder: Path,
    servers: ExitStack,
    recovery: Recovery,
    kind: Callable[[ExitStack], "TailCut | Lagging"],
) -> None:
    redis = kind(servers)
    running: AbstractAsyncContextManager[str] = redis.running()
    async with running as url, Stack.running(emulator, url, folder) as stack:
        linking, number = await stack.link(), new_number()
        async with stack.socket(linking) as page:
            await page.send("request-qr")
            shown = await page.snapshot(lambda s: "qr" in s)
            await redis.mark()
            assert await emulator.phone(number).scan(shown["qr"]["text"]) == "confirmed"
            linked = await page.state("linked")
        await stack.worker.said("session.logged-in", session=linking["session"])
        held = await emulator.now()
        waiting = await stack.link()
        async with stack.socket(waiting) as page:
            await page.send("request-qr")
            seen = await page.snapshot(lambda s: "qr" in s)
            await redis.go_back()
            with recovery.within(f"Redis went back ({kind.__name__}): the linked session is linked", BACK):
                await until(lambda: _is_linked(stack, linking))
            again = await _newer(stack, page, waiting, seen)
            other = new_number()
            assert await emulator.phone(other).scan(again["qr"]["text"]) == "confirmed"
            await until(lambda: _is_linked(stack, waiting))
        now = await stack.company(linking)
        assert (now["attempt"], now["seq"]) > (linked["attempt"], linked["seq"]), "versions only grow"
        sent = await stack.http.post(f"/api/v1/companies/{linking['company']}/messages", json=TEXT)
        assert sent.status_code == 202, sent.text
        await emulator.wait_for("message.received", after=held, phone=number.lstrip("+"))
        kinds = {event.kind for event in await emulator.events(held, phone=number.lstrip("+"))}
        assert not kinds & {"connection.closed", "device.connected"}, "the session stayed up"
        await all_quiet(stack)


async def _is_linked(stack: Stack, link: dict[str, str]) -> bool:
    answer = await stack.http.get(f"/api/v1/companies/{link['company']}")
    return answer.status_code == 200 and bool(answer.json()["state"] == "linked")


async def _newer(stack: Stack, page: Socket, link: dict[str, str], seen: dict[str, int]) -> dict[str, dict[str, str]]:
    """The QR under a higher number: on the socket that was there, or on one that came back, as a page does."""
    try:
        return await page.snapshot(lambda s: "qr" in s and s["attempt"] > seen["attempt"], seconds=10)
    except Exception as gone:  # the socket was closed: its browser comes back
        assert "ConnectionClosed" in type(gone).__name__, gone
    async with stack.socket(link) as again:
        first: dict[str, dict[str, str]] = again.seen[-1]["snapshot"]
        return first if "qr" in first else await again.snapshot(lambda s: "qr" in s)
