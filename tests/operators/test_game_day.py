"""docs/game-day.md, played: each incident happens to a real service, and the page's commands are typed into it."""

import asyncio
import contextlib
import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from websockets.exceptions import ConnectionClosedError

from app.local.redis import LocalRedis
from bench.postgres import Postgres
from emulator.client import Emulator
from shared.core import keys
from shared.state.lease import Leases
from tests.e2e.fixtures import a_postgres
from tests.e2e.stack import Socket, Stack
from tests.operators.transcript import ROOT, Document, Shell
from tests.waiting import until

pytestmark = [pytest.mark.asyncio(loop_scope="session")]


class Day:
    """One incident: a service, and the page that tells of it."""

    def __init__(self, stack: Stack) -> None:
        if shutil.which("redis-cli") is None:
            pytest.skip("NO redis-cli on this machine: install redis-tools")
        self.stack = stack
        self.page = Document(ROOT / "docs" / "game-day.md")
        self.shell = Shell(stack.environment)

    async def play(self, head: str, **environment: str) -> None:
        """Type what stands below a heading; it must say what stands there."""
        if environment:
            self.shell = Shell(self.stack.environment | {f"DOC_{name}": value for name, value in environment.items()})
        wrong = await self.page.play(self.page.section(head), self.shell)
        assert not wrong, "\n\n".join(wrong)

    async def play_part(self, head: str, *, first: int | None = None, after: int = 0) -> None:
        """The same with some of its commands, because something happens in between."""
        wrong = await self.page.play(self.page.section(head)[after:first], self.shell)
        assert not wrong, "\n\n".join(wrong)

    async def linked(self, company: str, number: str) -> dict[str, str]:
        """A company that is linked and held."""
        link, _ = await self.stack.linked(number, company=company)
        held = [one.said("session.logged-in", session=link["session"]) for one in self.stack.workers]
        done, left = await asyncio.wait(map(asyncio.ensure_future, held), return_when=asyncio.FIRST_COMPLETED)
        for one in left:
            one.cancel()
        assert done.pop().exception() is None
        return link

    @contextlib.asynccontextmanager
    async def with_qr(self, company: str) -> AsyncIterator[Socket]:
        """A page with a QR on it."""
        async with self.stack.socket(await self.stack.link(company)) as socket:
            await socket.send("request-qr")
            await socket.snapshot(lambda s: "qr" in s)
            yield socket

    async def until_ready(self, *, ready: bool) -> None:
        """Until /readyz says so, and has looked at Redis' clock since this host's was last set: that takes it 20 s."""

        async def says() -> bool:
            answer = await self.stack.http.get("/readyz")
            return (answer.status_code == 200) is ready and answer.json()["clock"] == "ok"

        await until(says, seconds=60)


async def test_1_redis_is_full(own: Stack) -> None:
    day = Day(own)
    await day.linked("aurora", "+79160000002")
    await day.until_ready(ready=True)
    async with own.redis.pipeline(transaction=False) as pipe:
        for number in range(8000):
            pipe.set(f"cache:{number}", "x" * 1000)
        await pipe.execute()
    await own.redis.config_set("maxmemory", "8mb")
    await day.until_ready(ready=False)
    await day.play("### 1a. What is seen")
    await day.play("### 1b. What is typed")
    await day.until_ready(ready=True)
    await until(lambda: _all_well(own))
    await day.play("### 1c. What is left of it")


async def test_2_whatsapp_refuses_codes(own: Stack) -> None:
    day = Day(own)
    rule = await own.emulator.arm("code-refused", tag=own.tag, status=429, times=None)
    async with own.socket(await own.link("birch")) as birch:
        await birch.send("request-pairing-code", phoneNumber="+79160000003")
        await birch.until(lambda m: m["type"] == "pairing-code-error")
        await day.play("### 2a. What is seen")
        async with own.socket(await own.link("cedar")) as cedar:
            await day.play_part("### 2b. What is typed", first=2)
            await cedar.send("request-pairing-code", phoneNumber="+79160000004")
            assert (await cedar.error())["code"] == "code-not-available"
            await cedar.send("request-qr")
            shown = await cedar.snapshot(lambda s: "qr" in s)
            await own.emulator.phone("+79160000004").scan(shown["qr"]["text"])
            await cedar.state("linked")
            await day.play_part("### 2b. What is typed", after=2)
        await own.emulator.disarm(rule)
        await day.play("### 2c. When it is over")
        await birch.send("request-pairing-code", phoneNumber="+79160000003")
        await birch.snapshot(lambda s: "code" in s)


async def test_3_a_worker_is_wedged(own: Stack) -> None:
    day = Day(own)
    await day.linked("aurora", "+79160000002")
    wedged = own.workers[0]
    async with day.with_qr("birch") as birch:
        other = await own.start_worker()
        wedged.process.send_signal(signal.SIGSTOP)
        try:
            first = birch.seen[-1]["snapshot"]["attempt"]
            await birch.snapshot(lambda s: "qr" in s and s["attempt"] > first, seconds=30)
            await other.said("session.logged-in", session="company_aurora")
            await other.said("worker.buried", seconds=70)
            await until(lambda: _reported(own, b"1", b"1"))
            await day.play("### 3a. What is seen")
            await day.play("### 3b. What is typed", PID=str(wedged.pid))
        finally:
            with contextlib.suppress(ProcessLookupError):
                wedged.process.send_signal(signal.SIGCONT)
        await wedged.ended()


@pytest.mark.postgres
async def test_4_postgres_has_no_connections_left(emulator: Emulator, own_redis: LocalRedis, folder: Path) -> None:
    with a_postgres("max_connections=14", "superuser_reserved_connections=3") as server:
        name = await server.database()
        await server.query("CREATE ROLE reports LOGIN PASSWORD 'reports'")
        url = server.url(name)
        folder.chmod(0o711)  # the service's PgBouncer, which is not root, has its socket below
        pool: dict[str, Any] = {"DATABASE_URL": url, "DATABASE_POOL": "2"}
        async with Stack.running(emulator, own_redis.url, folder, quiet=True, **pool) as stack:
            day = Day(stack)
            await day.linked("aurora", "+79160000002")
            await day.until_ready(ready=True)
            hogs = await _take_all(server, name)
            try:
                await day.until_ready(ready=False)
                await day.play("### 4a. What is seen", PG=server.url(name, user="boss"))
                await day.play("### 4b. What is typed", PG=server.url(name, user="boss"))
            finally:
                for one in hogs:
                    one.terminate()
            await day.until_ready(ready=True)
            await day.play("### 4c. When it is back")


async def test_5_a_link_has_leaked(own: Stack) -> None:
    day = Day(own)
    leaked = await own.link("aurora")
    await day.linked("birch", "+79160000009")
    async with own.socket(leaked) as stranger:
        await stranger.send("request-qr")
        shown = await stranger.snapshot(lambda s: "qr" in s)
        await day.play("### 5a. What is seen")
        before = await own.emulator.now()
        await day.play("### 5b. What is typed", LINK=leaked["url"])
        with pytest.raises(ConnectionClosedError, match="4401"):
            await stranger.until(lambda _: False)
    # The page hears of it from Redis, and so does the worker: neither waits for the other.
    await own.worker.said("attempt.ended", session=leaked["session"])
    await own.emulator.wait_for("connection.closed", tag=own.tag, after=before, where=lambda event: not event.phone)
    phone = own.emulator.phone("+79160000008")
    assert await phone.scan(shown["qr"]["text"]) == "expired", "the attempt ended with its link"
    assert (await own.company(leaked))["state"] == "cancelled"
    assert not await phone.devices()
    with pytest.raises(ConnectionClosedError, match="4401"):
        async with own.socket(leaked):
            pass
    await day.play("### 5c. If a stranger had linked already")


async def _take_all(server: Postgres, database: str) -> list[asyncpg.Connection]:
    """Every connection that somebody without privileges can have, and those that the service has as well."""
    hogs: list[asyncpg.Connection] = []

    async def taken() -> bool:
        with contextlib.suppress(asyncpg.TooManyConnectionsError, asyncpg.InsufficientPrivilegeError):
            while True:
                hogs.append(await asyncpg.connect(server.url(database), user="reports", password="reports"))
        return not await server.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'wa'")

    await until(taken)
    return hogs


async def _all_well(stack: Stack) -> bool:
    leases = Leases(stack.redis)
    return any((await leases.living()).values()) and not await leases.dead()


async def _reported(stack: Stack, *wanted: bytes) -> bool:
    """Whether the only worker's last report says so many attempts and sessions."""
    beats = await stack.redis.zrange(keys.WORKERS, 0, -1)
    found = await stack.redis.hmget(f"wa:worker:{beats[0].decode()}", ["attempts", "sessions"])
    return len(beats) == 1 and found == list(wanted)


async def test_6_whatsapp_refuses_our_version(own: Stack) -> None:
    day = Day(own)
    await day.linked("aurora", "+79160000002")
    for fault in ("web-page-refused", "web-script-refused"):
        await own.emulator.arm(fault, tag=own.tag, times=None)
    await own.emulator.settings(own.tag, life=0, minimum_revision=1_052_000_000)
    await own.emulator.cut(tag=own.tag)
    await until(lambda: _client(own, b"refused"), seconds=60)
    await day.until_ready(ready=True)
    await day.play("### 6a. What is seen")
    await day.play("### 6b. What is typed")
    await until(lambda: _client(own, b"ok"), seconds=60)
    await until(lambda: _is_linked(own, "aurora"))  # the version is taken as soon as a session tries it
    await day.until_ready(ready=True)
    await day.play("### 6c. When it has helped")


async def _client(stack: Stack, health: bytes) -> bool:
    (worker,) = await stack.redis.zrange(keys.WORKERS, 0, -1)
    name = f"wa:worker:{worker.decode()}"
    sessions, told = await stack.redis.hmget(name, ["outdated", "client"])
    return told == health and (int(sessions or 0) > 0) is (health == b"refused")


async def _is_linked(stack: Stack, company: str) -> bool:
    return (await stack.company({"company": company}))["state"] == "linked"
