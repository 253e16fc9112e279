"""A real Redis, a real web process, and a worker that is none but says that it lives."""

import asyncio
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.async_api import async_playwright
from pydantic import SecretStr
from redis.asyncio import Redis

from app.local import redis as local_redis
from app.page.relay import Relay
from shared.jobs.queue import client
from shared.settings import Settings
from shared.state import pool as redis_pool
from shared.tasks import cancelled
from tests.conftest import empty
from tests.integration.queues import Shop, is_idle
from tests.integration.web import API_KEY, SECRET, Web
from tests.unit.world import World
from tests.waiting import until


@pytest.fixture
def folder():
    """A folder that is gone after the test."""
    path = Path(tempfile.mkdtemp(prefix="integration-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def config_for() -> Callable[[str], Settings]:
    """The settings of a process that uses this Redis."""

    def made(url):
        return Settings(redis_url=SecretStr(url), secret_key=SecretStr(SECRET), api_keys=(SecretStr(API_KEY),))

    return made


@pytest.fixture
def config(config_for, redis_server):
    return config_for(redis_server)


@pytest.fixture
async def redis(config):
    """A process' client, as the service has it."""
    ours = client(redis_pool.pool(config))
    yield ours
    await ours.aclose(close_connection_pool=True)


@pytest.fixture
async def operator(redis_server):
    """Somebody with redis-cli: a connection that is nobody of ours."""
    other = Redis.from_url(redis_server)
    yield other
    await other.aclose()


@pytest.fixture
def world(redis):
    return World(redis)


@pytest.fixture
async def subscriber(config):
    """A process' client for pub/sub."""
    ours = redis_pool.subscriber(config)
    yield ours
    await ours.aclose(close_connection_pool=True)


@pytest.fixture
async def relay(redis, subscriber, world):
    """A web process' relay, listening."""
    ours = Relay(redis, subscriber, world.snapshots, world.rescue)
    running = [asyncio.create_task(work) for work in ours.work()]
    await until(lambda: ours._pubsub)
    yield ours
    async with asyncio.timeout(5):
        for task in running:
            await cancelled(task)


@pytest.fixture
def own_redis(folder):
    """A Redis of this test alone, which may be killed, stopped and started again at the same place."""
    with local_redis.running(folder / "redis") as server:
        yield server


@pytest.fixture(scope="session")
def web_process(redis_process):
    log = Path(tempfile.mkdtemp(prefix="web-"))
    try:
        with Web.running(redis_process.url, log / "web.log") as web:
            yield web
    finally:
        shutil.rmtree(log)


@pytest.fixture
def web(web_process, redis_process, redis_server):
    """The web process of these tests, over an empty Redis."""
    web_process.wait_until_its_sockets_are_gone()
    empty(redis_process)  # of what they did last
    return web_process


@pytest.fixture
async def shop(redis, subscriber):
    """A worker of one queue, that waits for calls."""
    async with Shop(redis).open(subscriber) as open_shop:
        await is_idle(open_shop)
        yield open_shop


@pytest.fixture
async def browser(chromium_executable):
    """A Chromium of this test alone."""
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(
            executable_path=chromium_executable, args=["--no-sandbox", "--disable-gpu"]
        )
        yield running
        await running.close()
