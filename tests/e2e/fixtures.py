"""One emulator and one running service for most tests; each test has its own company and phone."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright

from app.local import redis as local_redis
from bench.postgres import Postgres, binaries
from emulator.client import Emulator
from tests import seeds
from tests.e2e.stack import Stack

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def emulator(nothing_left_behind: None) -> AsyncIterator[Emulator]:
    """A WhatsApp for all tests of this process."""
    async with Emulator.start(seed=seeds.wanted()) as running:
        yield running


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder for devices, gone after the test."""
    path = Path(tempfile.mkdtemp(prefix="devices-"))
    path.chmod(0o711)  # who is not root, as a PgBouncer of root's, may pass through
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def own_redis() -> Iterator[local_redis.LocalRedis]:
    """A Redis of this test alone, which may be killed."""
    path = Path(tempfile.mkdtemp(prefix="redis-"))
    with local_redis.running(path) as server:
        yield server
    shutil.rmtree(path, ignore_errors=True)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stack(emulator: Emulator) -> AsyncIterator[Stack]:
    """A service that serves all tests of this process that do not break it. With a Redis of its own: it lives on while
    other tests play the worker on theirs."""
    path = Path(tempfile.mkdtemp(prefix="devices-"))
    try:
        with local_redis.running(path / "redis") as redis:
            async with Stack.running(emulator, redis.url, path, MAX_ATTEMPTS="60") as running:
                yield running
    finally:
        shutil.rmtree(path, ignore_errors=True)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(chromium_executable: str) -> AsyncIterator[Browser]:
    """A headless Chromium for all tests of this process."""
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=chromium_executable, args=ARGUMENTS)
        yield running
        await running.close()


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser) -> AsyncIterator[Page]:
    """A desktop tab."""
    context = await browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-US")
    yield await context.new_page()
    await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def phone_page(browser: Browser) -> AsyncIterator[Page]:
    """A tab on a phone."""
    context = await browser.new_context(
        viewport={"width": 360, "height": 740},
        device_scale_factor=2,
        has_touch=True,
        is_mobile=True,
        locale="ru-RU",
        user_agent="Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 Chrome/130.0 Mobile Safari/537.36",
    )
    yield await context.new_page()
    await context.close()


@contextmanager
def a_postgres(*options: str) -> Iterator[Postgres]:
    """A PostgreSQL with these options, gone with the block. Skips the test where there is none."""
    found = binaries()
    if found is None:
        pytest.skip("NO POSTGRESQL on this machine")
    server = Postgres(found)
    try:
        server.create()
        server.start(*options)
        yield server
    finally:
        server.remove()


@pytest.fixture(params=["files", pytest.param("postgres", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest) -> Iterator[Postgres | None]:
    """A PostgreSQL of this test, or none: the device store in a database, and in files."""
    if request.param == "files":
        yield None
        return
    with a_postgres() as server:
        yield server


@pytest_asyncio.fixture(loop_scope="session")
async def own(
    emulator: Emulator, own_redis: local_redis.LocalRedis, folder: Path, database: Postgres | None
) -> AsyncIterator[Stack]:
    """A service of this test alone, over either store."""
    more: dict[str, Any] = {"DATABASE_URL": database.url(await database.database())} if database else {}
    async with Stack.running(emulator, own_redis.url, folder, quiet=True, **more) as stack:
        yield stack
