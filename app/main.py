"""The web process: everything is made here and passed on."""

from shared import lean  # isort: split

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from functools import partial

import uvicorn.server
from arq.connections import ArqRedis
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import RedirectResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from app import reference
from app.access import Access
from app.api.attempts import Attempts
from app.api.companies import Companies, Views
from app.api.feed import Feed
from app.api.links import LinkRoutes
from app.api.texts import Texts
from app.api.webhooks import WebhookRoutes
from app.http.border import Border, Named
from app.http.edge import Doorkeeper, EdgeRequests, networks_as_seen, room_for
from app.http.heads import HEAD_BYTES
from app.http.policy import SecurityHeaders
from app.http.problems import http_problem
from app.onboarding import Endings, Onboarding
from app.openapi import Description
from app.ops.routes import Ops
from app.page.assets import Assets
from app.page.look import platform_of
from app.page.relay import Relay
from app.page.socket import Browser
from app.page.whereabouts import elsewhere
from shared import settings
from shared.core.protocol import MAX_MESSAGE_BYTES
from shared.jobs.queue import client
from shared.log import log
from shared.private import keep_private
from shared.settings import Settings
from shared.state import pool as redis_pool
from shared.state.claims import Claims
from shared.state.cooldowns import Cooldowns
from shared.state.events import News
from shared.state.forgetting import Forgetting
from shared.state.outbox import Outbox
from shared.state.rescue import Rescue
from shared.state.snapshots import Snapshots
from shared.state.switches import Switches
from shared.tasks import cancelled
from shared.telemetry import logs, sentry

lean.ready()

GRACE_SECONDS = 10


class Application(Starlette):
    """Passes websockets straight to their handler. Through middleware and routing, a dozen frames would stay alive
    with each socket: 6 KiB, a fifth of a socket's memory."""

    browser: Browser
    feed: Feed

    def build_middleware_stack(self) -> ASGIApp:
        """The stack with the request's id outermost, so that the answer to a bug carries it too."""
        return Named(super().build_middleware_stack())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if b"%2f" in scope.get("raw_path", b"").lower():
            scope["path"] = scope["raw_path"].decode("ascii")  # else the id `a%2Fsession` would name another place
        if scope["type"] == "websocket" and scope["path"] == "/ws/v1":
            await self.browser.serve(WebSocket(scope, receive, send))
        else:
            await super().__call__(scope, receive, send)


def create_app(config: Settings, *, redis: ArqRedis | None = None) -> Starlette:
    """The application with all its parts; over the Redis of the settings, if none is given."""
    pool = redis_pool.pool(config)
    redis, subscriber = redis or client(pool), redis_pool.subscriber(config)
    redis_pool.follow(pool, subscriber)
    news = News(config.told_events)
    snapshots, claims = Snapshots(redis), Claims(redis, news, most_waiting=config.max_waiting)
    outbox = Outbox(redis, rate=config.max_rate)
    access = Access(config)
    relay = Relay(redis, subscriber, snapshots, Rescue(redis, news))
    cooldowns = Cooldowns(redis, config.secret_key)
    onboarding = Onboarding(redis, claims, cooldowns, region=config.default_region)
    browser = Browser(config, access, relay, onboarding)
    border = Border(config, redis)
    feed = Feed(redis)
    relay.on_feed = feed.call
    endings, views = Endings(redis, claims), Views(redis, snapshots, relay.newer)
    parts = (
        LinkRoutes(config, redis, access, endings),
        Companies(redis, views, endings, Forgetting(redis, config.secret_key)),
        Attempts(redis, access, views, onboarding, endings),
        Texts(config, redis, snapshots, outbox),
        feed,
        WebhookRoutes(config, redis, news),
        Description(),
        Ops(redis, lambda: relay.sockets),
    )
    switches = Switches(redis, lambda board: logs.set_level(board.log_level or config.log_level))
    relay.on_switch = switches.call

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        works = (*relay.work(), switches.run(), browser.patrol(), browser.garbage.run())
        relaying = [asyncio.create_task(work) for work in works]
        try:
            yield
        finally:
            for task in relaying:
                await cancelled(task)
            await redis.aclose(close_connection_pool=True)
            await subscriber.aclose(close_connection_pool=True)

    routes = [
        Route("/", RedirectResponse("/link"), methods=["GET"]),
        *(route for part in parts for route in border.routes(part)),
        *reference.ROUTES,
        *Assets(
            platform_of=partial(platform_of, config, access),
            gallery=config.development,
            fresh=config.development,
            elsewhere=partial(elsewhere, config),
        ).routes(),
    ]
    middleware = [
        Middleware(SecurityHeaders, only_https=config.base_url.startswith("https:")),
        Middleware(GZipMiddleware, minimum_size=1000),
    ]
    app = Application(
        routes=routes,
        middleware=middleware,
        lifespan=lifespan,
        exception_handlers={HTTPException: http_problem, Exception: http_problem},
    )
    app.browser, app.feed = browser, feed
    app.router.redirect_slashes = False  # an address has one form, and a redirect would lose a POST's body
    return app


class WebServer(uvicorn.server.Server):
    """Logs when it accepts connections, which is later than the application's start."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            lean.give_back()  # of the page's files as they were made
            log.info("web.started", port=self.config.port)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams first, because they do not end by themselves."""
        if isinstance(self.config.app, Application):
            self.config.app.feed.close()
        await super().shutdown(sockets)


def main() -> None:
    """Serve until SIGTERM."""
    keep_private()
    config = settings.read()
    logs.configure(config, "web")
    sentry.configure(config, "web")
    door = Doorkeeper(room_for(config.max_sockets), config.trusted_proxies)
    options = uvicorn.Config(
        create_app(config),
        http=partial(EdgeRequests, door),  # type: ignore[arg-type]  # any maker of protocols will do
        h11_max_incomplete_event_size=HEAD_BYTES,
        host=config.host,
        port=config.port,
        ws="websockets-sansio",
        ws_max_size=MAX_MESSAGE_BYTES,
        ws_per_message_deflate=False,  # costs 2-5 times the memory a socket
        ws_ping_interval=20,
        ws_ping_timeout=20,
        timeout_graceful_shutdown=GRACE_SECONDS,
        proxy_headers=True,
        # Of X-Forwarded-For, uvicorn believes the entries that these proxies added. The browser wrote the rest.
        forwarded_allow_ips=networks_as_seen(config.trusted_proxies),
        server_header=False,
        access_log=False,
        log_config=None,
    )
    WebServer(options).run()


if __name__ == "__main__":
    main()
