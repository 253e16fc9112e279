"""The whole service for a test: real Redis, web, worker, real neonize, pointed at the emulator under a tag of its own."""

import asyncio
import contextlib
import itertools
import json
import secrets
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import websockets
from redis.asyncio import Redis

from app.local.redis import free_port
from emulator.client import Emulator
from tests.e2e.processes import Service

API_KEY = "an-api-key-for-tests"
_numbers = itertools.count(9_001_230_001)


def new_number() -> str:
    """A Russian mobile number in E.164 that no other test uses."""
    return f"+7{next(_numbers)}"


class Socket:
    """A browser's socket without a browser: sends commands, collects what comes back."""

    def __init__(self, connection: websockets.ClientConnection) -> None:
        self._connection = connection
        self.seen: list[dict[str, Any]] = []

    async def send(self, kind: str, **fields: object) -> None:
        """One message."""
        await self._connection.send(json.dumps({"type": kind, **fields}))

    async def until(self, wanted: Callable[[dict[str, Any]], object], seconds: float = 20.0) -> dict[str, Any]:
        """The first message from now on that fits."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    message: dict[str, Any] = json.loads(await self._connection.recv())
                    self.seen.append(message)
                    if wanted(message):
                        return message
        except TimeoutError:
            brief = [
                (m["type"], m.get("snapshot", {}).get("state"), m.get("error"), m.get("snapshot", {}).get("failure"))
                for m in self.seen
            ]
            raise AssertionError(f"nothing fits; seen: {brief}") from None

    async def snapshot(self, wanted: Callable[[dict[str, Any]], object], seconds: float = 20.0) -> dict[str, Any]:
        """The first snapshot from now on that fits."""
        message = await self.until(lambda m: "snapshot" in m and wanted(m["snapshot"]), seconds)
        found: dict[str, Any] = message["snapshot"]
        return found

    async def state(self, state: str, seconds: float = 20.0) -> dict[str, Any]:
        """The first snapshot from now on in this state."""
        return await self.snapshot(lambda s: s["state"] == state, seconds)

    async def closed(self, seconds: float = 20.0) -> int | None:
        """The code with which the server closes the socket."""
        with contextlib.suppress(websockets.ConnectionClosed):
            async with asyncio.timeout(seconds):
                while True:
                    await self._connection.recv()
        return self._connection.close_code

    async def error(self) -> dict[str, Any]:
        """The next refused command."""
        message = await self.until(lambda m: "error" in m)
        found: dict[str, Any] = message["error"]
        return found


class Stack:
    """One web and any number of workers, on one Redis and one folder for devices."""

    def __init__(self, emulator: Emulator, redis_url: str, folder: Path, *, redis: str | None = None) -> None:
        """`redis`: where the test itself looks, if the service goes there by another way."""
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o711)  # a PgBouncer of root's runs as somebody else, and works below
        self.emulator = emulator
        self.tag = f"t{secrets.token_hex(4)}"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {
            **emulator.client_env(tag=self.tag),
            "REDIS_URL": redis_url,
            "DATA_DIR": str(folder),
            "TMPDIR": str(folder),  # what a killed worker leaves there goes with it
            "PORT": str(self.port),
            "HOST": "127.0.0.1",
            "SECRET_KEY": "a-secret-for-tests-that-is-long-enough",
            "API_KEYS": API_KEY,
            "PLATFORM_NAME": "Planner",
            "DEVICE_NAME": "Planner for salons",
            "LOG_LEVEL": "info",
        }
        self.web: Service
        self.workers: list[Service] = []
        self.redis: Redis = Redis.from_url(redis or redis_url)
        self.http = self.another_client()

    def another_client(self) -> httpx.AsyncClient:
        """An integrator with the API's key."""
        return httpx.AsyncClient(
            base_url=self.url,
            headers={"Authorization": f"Bearer {API_KEY}"},
            trust_env=False,
            timeout=20,
            limits=httpx.Limits(keepalive_expiry=2),  # web closes an idle connection after 5 s: never meet its end
        )

    @classmethod
    @contextlib.asynccontextmanager
    async def running(
        cls,
        emulator: Emulator,
        redis_url: str,
        folder: Path,
        *,
        workers: int = 1,
        redis: str | None = None,
        quiet: bool = False,
        **environment: str,
    ) -> AsyncIterator["Stack"]:
        """A stack that serves; stopped, and seen to stop, with the block. If `quiet`, nothing happens to its accounts by
        itself (emulator/life.py): for tests that count what comes."""
        stack = cls(emulator, redis_url, folder, redis=redis)
        stack.environment |= environment
        if quiet:
            await emulator.settings(stack.tag, life=0)
        try:
            await stack.start_web()
            for _ in range(workers):
                await stack.start_worker()
            yield stack
        except BaseException:
            print(stack.trouble())
            raise
        finally:
            await stack.close()

    def trouble(self) -> str:
        """The warnings and errors of every process, for a failing test's report."""
        services = [*([self.web] if hasattr(self, "web") else []), *self.workers]
        lines = [f"{s.module} {s.pid}: {line}" for s in services for line in s.lines if line.get("level") != "info"]
        return "\n".join(lines[-60:])

    async def start_web(self) -> Service:
        """Start web on the stack's port."""
        self.web = await Service.start("app.main", self.environment, until="web.started")
        return self.web

    async def start_worker(self, *below: str, **environment: str) -> Service:
        """Start one more worker, maybe `below` another command."""
        worker = await Service.start("workers.main", self.environment | environment, *below, until="worker.started")
        self.workers.append(worker)
        return worker

    async def resume(self, *below: str) -> None:
        """Have every session held by fresh workers, as many as before, each maybe `below` another command. A session that
        was linked a moment ago moves to another process after 40 s; one that was resumed stays where it is."""
        workers, self.workers = self.workers, []
        await asyncio.gather(*(worker.stop() for worker in workers))
        for _ in workers:
            await self.start_worker(*below)

    @property
    def worker(self) -> Service:
        """The newest worker."""
        return self.workers[-1]

    async def close(self) -> None:
        """Stop everything that still runs."""
        for service in (*self.workers, *([self.web] if hasattr(self, "web") else [])):
            await service.stop()
        await self.http.aclose()
        await self.redis.aclose()

    async def link(self, company: str | None = None, **fields: object) -> dict[str, Any]:
        """A new link, by the API; `session` is added to its answer."""
        company = company or f"salon-{secrets.token_hex(4)}"
        answer = await self.http.post("/api/v1/links", json={"companyId": company, "companyName": "Aurora", **fields})
        assert answer.status_code == 201, answer.text
        return {**answer.json(), "session": f"company_{company}", "company": company}

    @contextlib.asynccontextmanager
    async def socket(self, link: dict[str, Any], locale: str = "en", address: str = "") -> AsyncIterator[Socket]:
        """A socket that has said hello and got its first snapshot; `address` as if through a host's router."""
        url, headers = f"ws://127.0.0.1:{self.port}/ws/v1", {"X-Forwarded-For": address} if address else {}
        async with websockets.connect(
            url, origin=websockets.Origin(self.url), proxy=None, additional_headers=headers
        ) as connection:
            socket = Socket(connection)
            await socket.send("hello", token=link["token"], locale=locale)
            await socket.until(lambda m: m["type"] == "status")
            yield socket

    async def linked(self, number: str | None = None, company: str | None = None) -> tuple[dict[str, Any], str]:
        """A company that has just been linked by QR; its link and its phone."""
        number = number or new_number()
        link = await self.link(company)
        async with self.socket(link) as socket:
            await socket.send("request-qr")
            shown = await socket.snapshot(lambda s: "qr" in s)
            await self.emulator.phone(number).scan(shown["qr"]["text"])
            await socket.state("linked")
        return link, number

    async def company(self, link: dict[str, Any]) -> dict[str, Any]:
        """The company's snapshot, as the integrator sees it."""
        answer = await self.http.get(f"/api/v1/companies/{link['company']}")
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body
