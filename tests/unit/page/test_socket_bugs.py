"""A socket goes past the middleware of web: its bugs reach Sentry all the same, and its browser comes back. So it does after
a socket that took nothing."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
import sentry_sdk
from fakeredis import FakeAsyncRedis

from app.access import Access
from app.main import Application
from app.onboarding import Onboarding
from app.page import socket as socket_module
from app.page.relay import Relay
from app.page.socket import Browser
from shared import settings
from shared.core.ids import CompanyId
from shared.core.protocol import CloseCode
from shared.jobs.queue import client
from shared.state.claims import Claims
from shared.state.cooldowns import Cooldowns
from shared.state.rescue import Rescue
from shared.state.snapshots import Snapshots
from shared.telemetry import sentry
from tests.unit.telemetry.test_sentry_endings import Remembering
from tests.waiting import beside

pytestmark = pytest.mark.filterwarnings("ignore:The send_default_pii option is deprecated")


SCOPE = {"type": "websocket", "path": "/ws/v1", "headers": [(b"origin", b"http://testserver")], "client": None}
RESTART = {"type": "websocket.close", "code": CloseCode.RESTART, "reason": ""}


@pytest.fixture
async def transport(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Remembering]:
    """What Sentry is told. The settings are for a web at http://testserver."""
    for name, value in {
        "SENTRY_DSN": "http://key@sentry.invalid/1",
        "SECRET_KEY": "s" * 40,
        "API_KEYS": "k" * 20,
        "PUBLIC_URL": "http://testserver",
    }.items():
        monkeypatch.setenv(name, value)
    told = Remembering()
    sentry.configure(settings.read(), "web", told)
    yield told
    sentry_sdk.get_global_scope().set_client(None)


@pytest.fixture
async def app(transport: Remembering) -> AsyncIterator[Application]:
    """Web without its routes."""
    config, fake = settings.read(), FakeAsyncRedis(version=(7,))
    redis = client(fake.connection_pool)
    access, snapshots = Access(config), Snapshots(redis)
    relay = Relay(redis, redis, snapshots, Rescue(redis))
    onboarding = Onboarding(redis, Claims(redis), Cooldowns(redis, config.secret_key), region=config.default_region)
    app = Application()
    app.browser = Browser(config, access, relay, onboarding)
    yield app
    await redis.aclose()
    await fake.aclose(close_connection_pool=True)


def says(app: Application, *more: str) -> asyncio.Queue[dict[str, Any]]:
    """What a browser says: hello, and these."""
    access = app.browser._access
    token = access.sign(access.new_link(CompanyId("salon"), ttl_seconds=60, company_name="Salon"))
    said: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    said.put_nowait({"type": "websocket.connect"})
    for text in (orjson.dumps({"type": "hello", "token": token}).decode(), *more):
        said.put_nowait({"type": "websocket.receive", "text": text})
    return said


@pytest.mark.parametrize(("owner", "method"), [(Browser, "_hello"), (Browser, "_converse"), (Relay, "watch")])
async def test_a_bug_in_a_socket_reaches_sentry_and_ends_that_socket_alone(
    app: Application, transport: Remembering, monkeypatch: pytest.MonkeyPatch, owner: type, method: str
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("a bug of ours")

    monkeypatch.setattr(owner, method, broken)
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await app(SCOPE, says(app).get, send)
    assert sent[-1] == RESTART
    (event,) = transport.events
    assert event["tags"]["operation"] == "socket"


async def test_a_socket_that_takes_nothing_is_closed(app: Application, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)
        if len(sent) == 3:  # it was accepted, and has seen the first snapshot: that is not bounded by so little
            monkeypatch.setattr(socket_module, "SEND_SECONDS", 0.1)
            await asyncio.Event().wait()

    async with beside(app.browser.patrol()), asyncio.timeout(10):
        await app(SCOPE, says(app, "no command").get, send)
    assert [one["type"] for one in sent] == ["websocket.accept", "websocket.send", "websocket.send", "websocket.close"]
    assert sent[-1] == RESTART
    assert not app.browser._sending
