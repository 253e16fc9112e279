"""docs/embedding.md as it stands: its page and its server on one origin, ours on another."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.async_api import Page, async_playwright
from redis.asyncio import Redis

from app.local.redis import LocalRedis, free_port
from shared.core.clock import now_ms
from shared.core.failures import FailureCode
from shared.core.lifecycle import State
from shared.core.protocol import DeviceView, FailureView, Method
from tests.conftest import empty
from tests.integration.web import API_KEY, Web
from tests.unit.world import ONE, SESSION, World, change
from tests.waiting import until

DOC = (Path(__file__).parents[2] / "docs" / "embedding.md").read_text()
SECRET = "whsec_" + "c2lnbnMgd2hhdCBhIGJyb3dzZXIgYnJpbmdzIGJhY2s="

#: Everything that a page is told, from whomever.
LISTEN = """
window.told = [];
addEventListener("message", ({data, origin}) => window.told.push({...data, origin}));
"""


def block(language: str) -> str:
    """The one block of this language in the document."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", DOC, re.MULTILINE | re.DOTALL)
    return found


@pytest.fixture(scope="module")
def shelf() -> Iterator[Path]:
    """A folder for these tests."""
    path = Path(tempfile.mkdtemp(prefix="embedding-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def platform_url() -> str:
    """Another site than ours, which is 127.0.0.1: the browser keeps them apart as it keeps strangers."""
    return f"http://localhost:{free_port()}"


@pytest.fixture(scope="module")
def service_process(redis_process: Any, shelf: Path, platform_url: str) -> Iterator[Web]:
    told = {"PUBLIC_URL": "", "EMBED_ORIGINS": platform_url, "WEBHOOK_SECRET": SECRET, "PLATFORM_NAME": "Bookwell"}
    with Web.running(redis_process.url, shelf / "web.log", **told) as web:
        yield web


@pytest.fixture
def service(service_process: Web, redis_process: LocalRedis, redis_server: str) -> Web:
    """Our own web process, over an empty Redis."""
    service_process.wait_until_its_sockets_are_gone()
    empty(redis_process)  # of what they did last
    return service_process


@pytest.fixture
async def world(redis: Redis) -> AsyncIterator[World]:
    """One session, whose worker lives: nobody else takes up what it holds."""
    made = World(redis)
    async with made.beating():
        yield made


@pytest.fixture(scope="module")
def platform(service_process: Web, shelf: Path, platform_url: str) -> Iterator[str]:
    """The document's server, run as it stands."""
    (shelf / "page.html").write_text(block("html"))
    (shelf / "platform.py").write_text(block("python"))
    told = {"ONBOARDING_URL": service_process.url, "PLATFORM_URL": platform_url}
    env = os.environ | told | {"API_KEY": API_KEY, "WEBHOOK_SECRET": SECRET}
    process = subprocess.Popen([sys.executable, "platform.py"], cwd=shelf, env=env, stderr=subprocess.DEVNULL)
    try:
        with httpx.Client(trust_env=False, transport=httpx.HTTPTransport(retries=8)) as client:
            assert client.get(platform_url.replace("localhost", "127.0.0.1")).is_success
        yield platform_url
    finally:
        process.kill()
        process.wait()


@pytest.fixture
async def open_page(chromium_executable: str):
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium_executable, args=["--no-sandbox", "--disable-gpu"]
        )

        async def make(url: str, **options: Any) -> Page:
            context = await browser.new_context(locale="en-GB", **options)
            context.set_default_timeout(10_000)
            page = await context.new_page()
            await page.add_init_script(LISTEN)
            await page.goto(url)
            return page

        yield make
        await browser.close()


async def told(page: Page, kind: str, **fields: object) -> dict:
    """Wait for a message of this kind with these fields."""
    handle = await page.wait_for_function(
        """([kind, fields]) => window.told.find((one) => one.type === kind
            && Object.entries(fields).every(([name, value]) => one[name] === value))""",
        arg=[kind, fields],
    )
    found: dict = await handle.json_value()
    return found


async def run_to(world: World, state: State, **body: Any) -> None:
    """Be the worker that takes the attempt that the page has asked for, brings it there, and holds what is linked."""
    await until_asked(world)
    asked = await world.ask()  # joins it
    lease = await world.leases.acquire(SESSION, ONE, attempt=asked.attempt)
    assert lease is not None
    steps = [State.CONNECTING, State.AWAITING_PHONE, State.LINKING, State.LINKED]
    ways = {State.LINKED: steps, State.FAILED: [*steps[:2], State.FAILED]}
    for step in ways[state]:
        more = body if step is state else {}
        done = change(step, ending=step is State.FAILED, method=Method.QR, deadline=now_ms() + 160_000, **more)
        assert await world.snapshots.save(lease, done)
    if state is not State.LINKED:
        await world.leases.release(lease)


async def until_asked(world: World) -> None:
    async def asked() -> bool:
        return await world.state() is State.QUEUED

    await until(asked)


REFUSED = FailureView(code=FailureCode.PAIRING_REFUSED, retryable=True)
DEVICE = DeviceView(phone="+7 •••••• 45 67", name="Bookwell", linked_at=1)
