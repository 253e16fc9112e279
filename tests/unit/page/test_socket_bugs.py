"""A socket goes past the middleware of web: its bugs reach Sentry all the same, and its browser comes back."""

import asyncio
from typing import Any

import orjson
import pytest
import sentry_sdk
from fakeredis import FakeAsyncRedis

from app.access import Access
from app.main import Application
from app.onboarding import Onboarding
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

pytestmark = pytest.mark.filterwarnings("ignore:The send_default_pii option is deprecated")


@pytest.mark.parametrize(("owner", "method"), [(Browser, "_hello"), (Browser, "_converse"), (Relay, "watch")])
async def test_a_bug_in_a_socket_reaches_sentry_and_ends_that_socket_alone(
    monkeypatch: pytest.MonkeyPatch, owner: type, method: str
) -> None:
    for name, value in {
        "SENTRY_DSN": "http://key@sentry.invalid/1",
        "SECRET_KEY": "s" * 40,
        "API_KEYS": "k" * 20,
        "PUBLIC_URL": "http://testserver",
    }.items():
        monkeypatch.setenv(name, value)
    config, transport = settings.read(), Remembering()
    sentry.configure(config, "web", transport)
    fake = FakeAsyncRedis(version=(7,))
    redis = client(fake.connection_pool)
    access, snapshots = Access(config, redis), Snapshots(redis)
    relay = Relay(redis, redis, snapshots, Rescue(redis))
    onboarding = Onboarding(redis, Claims(redis), Cooldowns(redis, config.secret_key), region=config.default_region)
    app = Application()
    app.browser = Browser(config, access, relay, onboarding)

    def broken(*_: object, **__: object) -> None:
        raise KeyError("a bug of ours")

    monkeypatch.setattr(owner, method, broken)
    token = access.sign(access.new_link(CompanyId("salon"), ttl_seconds=60, company_name="Salon"))
    said: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    said.put_nowait({"type": "websocket.connect"})
    said.put_nowait({"type": "websocket.receive", "text": orjson.dumps({"type": "hello", "token": token}).decode()})
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "websocket", "path": "/ws/v1", "headers": [(b"origin", b"http://testserver")], "client": None}
    await app(scope, said.get, send)
    await redis.aclose()
    await fake.aclose(close_connection_pool=True)
    sentry_sdk.get_global_scope().set_client(None)
    assert sent[-1] == {"type": "websocket.close", "code": CloseCode.RESTART, "reason": ""}
    (event,) = transport.events
    assert event["tags"]["operation"] == "socket"
