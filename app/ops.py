"""What operators and their monitors ask web: is it alive, can it serve, what has it counted."""

import asyncio

import structlog
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError, RedisError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app import exposition, gauges
from app.access import Access
from app.api import AWAY, NOT_ALLOWED, problem_response
from app.relay import Relay
from shared import VERSION, keys
from shared.clock import now_ms
from shared.metrics import ENGINE
from shared.redis_pool import PASSING, answer

log = structlog.get_logger()

READY_SECONDS = 3.0
"""A monitor does not wait for as long as our own patience with Redis is."""


class Ops:
    """The routes, over one Redis."""

    def __init__(self, redis: Redis, access: Access, relay: Relay) -> None:
        self._redis = redis
        self._access = access
        self._relay = relay

    def routes(self) -> list[Route]:
        """`/healthz`, `/readyz`, `/metrics`."""
        return [
            Route("/healthz", self.healthz),
            Route("/readyz", self.readyz),
            Route("/metrics", self.metrics),
        ]

    async def healthz(self, _request: Request) -> Response:
        """The process is alive; says nothing of its neighbours."""
        return JSONResponse({"status": "ok", "version": VERSION, "engine": ENGINE, "sockets": self._relay.sockets})

    async def readyz(self, _request: Request) -> Response:
        """200 when Redis takes writes, a worker lives, and one of those reaches the device store; else 503. Says of
        each part what is wrong with it."""
        try:
            async with asyncio.timeout(READY_SECONDS):
                parts = await self._parts()
        except TimeoutError:
            parts = {"redis": "does not answer", "workers": "unknown", "store": "unknown"}
        ready = all(value == "ok" for value in parts.values())
        return JSONResponse({"status": "ok" if ready else "ill", **parts}, 200 if ready else 503)

    async def _parts(self) -> dict[str, str]:
        try:
            await self._redis.set(keys.PROBE, now_ms(), px=keys.MINUTE)
            redis = "ok"
        except OutOfMemoryError:
            redis = "full: it takes no writes"
        except (RedisError, *PASSING) as error:
            return {"redis": type(error).__name__, "workers": "unknown", "store": "unknown"}
        moment = await gauges.read(self._redis)
        living, ill = len(moment.living), len(moment.ill_stores)
        workers, store = "ok", "ok"
        if not living:
            workers = store = "none alive"
        elif ill == living:
            store = "away from every worker"
        return {"redis": redis, "workers": workers, "store": store}

    async def metrics(self, request: Request) -> Response:
        """Prometheus text, for holders of an API key."""
        if not self._access.is_integrator(request):
            return problem_response(NOT_ALLOWED)
        try:
            moment = await gauges.read(self._redis)
            switches = await answer(self._redis.hkeys(keys.SWITCH))
        except (RedisError, *PASSING) as error:
            log.warning("metrics.unread", error=type(error).__name__)
            return problem_response(AWAY)
        text = exposition.text(moment, sockets=self._relay.sockets, switches=[one.decode() for one in switches])
        return Response(text, media_type=CONTENT_TYPE_LATEST)
