"""The web process as the Procfile starts it, and tabs that talk to it."""

import asyncio
import contextlib
import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Self

import httpx
import websockets
from pydantic import SecretStr
from redis.asyncio import Redis

from app.access import Access, Link
from app.local.redis import free_port
from shared.core import keys
from shared.core.ids import CompanyId, SessionId
from shared.settings import Settings

ROOT = Path(__file__).parents[2]
SECRET = "a secret that is long enough to sign"
API_KEY = "an-api-key-of-the-tests"
ORIGIN = "https://onboarding.example"
SESSION = SessionId("company_salon")  # of `Web.link()`
QUEUED = keys.QUEUE_LINKING


class Tab:
    """A browser's socket without a browser: sends commands, and remembers what came back."""

    def __init__(self, connection: websockets.ClientConnection) -> None:
        self.connection = connection
        self.seen: list[dict[str, Any]] = []

    async def say(self, kind: str, **fields: object) -> None:
        await self.connection.send(json.dumps({"type": kind, **fields}))

    async def until(self, wanted: Callable[[dict[str, Any]], object], seconds: float = 10) -> dict[str, Any]:
        """The first message from now on that fits."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    self.seen.append(json.loads(await self.connection.recv()))
                    if wanted(self.seen[-1]):
                        return self.seen[-1]
        except TimeoutError:
            raise AssertionError(f"nothing fits; seen: {self.seen}") from None

    async def snapshot(self, **fields: object) -> dict[str, Any]:
        """The first snapshot from now on with these fields."""
        message = await self.until(lambda one: fields.items() <= one.get("snapshot", {}).items())
        found: dict[str, Any] = message["snapshot"]
        return found

    async def error(self) -> dict[str, Any]:
        """The next refusal."""
        found: dict[str, Any] = (await self.until(lambda one: "error" in one))["error"]
        return found

    async def obeyed(self) -> None:
        """Returns once all that was said is done. Commands are obeyed in turn, and a second hello is none."""
        await self.say("hello", token="again")
        await self.until(lambda one: one.get("error", {}).get("field") == "type")

    async def closed(self, seconds: float = 10) -> int | None:
        """The code with which the server closes."""
        with contextlib.suppress(websockets.ConnectionClosed):
            async with asyncio.timeout(seconds):
                while True:
                    await self.connection.recv()
        return self.connection.close_code


class Web:
    """One web process."""

    def __init__(self, redis_url: str, log: Path, **environment: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = log
        self.redis_url = redis_url
        secrets = {"secret_key": SecretStr(SECRET), "api_keys": (SecretStr(API_KEY),)}
        self.access = Access(Settings(**secrets))  # type: ignore[arg-type]
        self.environment = {
            "PORT": str(self.port),
            "HOST": "127.0.0.1",
            "REDIS_URL": redis_url,
            "SECRET_KEY": SECRET,
            "API_KEYS": API_KEY,
            "PUBLIC_URL": ORIGIN,
            "PLATFORM_NAME": "Bookwell",
            "ALLOWED_ORIGINS": self.url,  # for a real browser, which has no router before the process
            "LOG_LEVEL": "debug",
            **environment,
        }

    @classmethod
    @contextmanager
    def running(cls, redis_url: str, log: Path, **environment: str) -> Iterator[Self]:
        """It answers, and is gone when the block ends."""
        web = cls(redis_url, log, **environment)
        with log.open("wb") as out:
            command = [sys.executable, "-m", "app.main"]
            web.process = subprocess.Popen(command, env=os.environ | web.environment, cwd=ROOT, stdout=out, stderr=out)
        try:
            web.wait_until_it_answers()
            yield web
        finally:
            web.process.terminate()
            try:
                web.process.wait(15)
            except subprocess.TimeoutExpired:
                web.process.kill()
                web.process.wait()
                raise

    process: subprocess.Popen[bytes]

    def wait_until_it_answers(self) -> None:
        until = time.monotonic() + 30
        with httpx.Client(trust_env=False) as client:
            while True:
                with contextlib.suppress(httpx.TransportError):
                    if client.get(f"{self.url}/healthz").is_success:
                        return
                assert self.process.poll() is None, self.log.read_text()
                assert time.monotonic() < until, self.log.read_text()
                time.sleep(0.02)

    def wait_until_its_sockets_are_gone(self) -> None:
        """A socket that outlives the test before would remember sessions that an emptied Redis has forgotten."""
        until, sockets = time.monotonic() + 30, -1
        while sockets:
            assert time.monotonic() < until, f"{sockets} sockets stay open"
            web = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
            with contextlib.closing(web):
                web.request("GET", "/healthz")
                sockets = json.loads(web.getresponse().read())["sockets"]
            time.sleep(0.02 if sockets else 0)  # between two looks

    @asynccontextmanager
    async def http(self, key: str | None = API_KEY) -> AsyncIterator[httpx.AsyncClient]:
        """The integrator's client."""
        headers = {"authorization": f"Bearer {key}"} if key else {}
        async with httpx.AsyncClient(base_url=self.url, headers=headers, trust_env=False, timeout=30) as client:
            yield client

    def link(self, company: str = "salon", *, ttl_seconds: int = 600, **about: Any) -> Link:
        """A link as the API would make it."""
        return self.access.new_link(CompanyId(company), ttl_seconds=ttl_seconds, company_name="Salon", **about)

    def connect(self, origin: str | None = ORIGIN, **options: Any) -> websockets.connect:
        """A bare socket. How soon it must open, says who wants it soon: not the client's own ten seconds."""
        url = f"ws://127.0.0.1:{self.port}/ws/v1"
        return websockets.connect(url, origin=origin, proxy=None, **options)  # type: ignore[arg-type]

    @asynccontextmanager
    async def tab(self, link: Link | str | None = None) -> AsyncIterator[Tab]:
        """A socket that has said hello; its first answer is `tab.seen[0]`."""
        token = link if isinstance(link, str) else self.access.sign(link or self.link())
        async with self.connect() as connection:
            tab = Tab(connection)
            await tab.say("hello", token=token)
            await tab.until(lambda _: True)
            yield tab


async def jobs(redis: Redis, queue: str = QUEUED) -> list[str]:
    """The ids of the jobs that wait."""
    return [one.decode() for one in await redis.zrange(queue, 0, -1)]
