"""The whole web application in this process, over a pretended Redis."""

import httpx
import pytest
from fakeredis import FakeServer

from app.main import create_app
from tests.unit.api.config import CONFIG, KEY
from tests.unit.api.service import Service


@pytest.fixture
async def web(redis):
    """The integrator's client, with the key for everything."""
    transport = httpx.ASGITransport(create_app(CONFIG, redis=redis), raise_app_exceptions=False)
    headers = {"authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://web", headers=headers) as http:
        yield http


@pytest.fixture
async def service():
    """The same with its Redis, which may go away."""
    made = Service(FakeServer())
    yield made
    made.server.connected = True
    await made.redis.aclose(close_connection_pool=True)
