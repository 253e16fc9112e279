"""Questions of operators and their monitors: is web alive, can it serve, what has it counted."""

import asyncio
from collections.abc import Callable

from redis.asyncio import Redis
from starlette.requests import Request
from starlette.responses import Response

from app.http import problems
from app.http.operations import OPS, Answer, operation, reply
from app.ops import gauges
from app.ops.models import HealthView, ReadyView
from shared import VERSION
from shared.core import keys, odd
from shared.core.clock import in_words, now_ms, skew_ms
from shared.log import log
from shared.state.pool import answer
from shared.state.refusals import READABLE, RedisRefuses, reason
from shared.tasks import TROUBLE
from shared.telemetry.metrics import ENGINE

READY_SECONDS = 3.0
"""Limit of /readyz. A monitor waits less long than we have patience with Redis."""


class Ops:
    """The routes, over one Redis. `sockets` counts the browsers that are connected to this process."""

    def __init__(self, redis: Redis, sockets: Callable[[], int]) -> None:
        self._redis = redis
        self._sockets = sockets

    @operation("GET", "/healthz", Answer(200, "It is.", HealthView))
    async def healthz(self, _request: Request) -> HealthView:
        """Say that the process is alive; nothing of its neighbours."""
        return HealthView(status="ok", version=VERSION, engine=ENGINE, sockets=self._sockets())

    @operation(
        "GET",
        "/readyz",
        Answer(200, "It can.", ReadyView),
        Answer(503, "It cannot: what is wrong with each part.", ReadyView),
    )
    async def readyz(self, _request: Request) -> Response:
        """Say whether the service can serve: Redis takes writes, a worker lives and reaches the device store."""
        try:
            async with asyncio.timeout(READY_SECONDS):
                parts = await self._parts()
        except TimeoutError:
            parts = _blind("does not answer")
        # An ageing or refused client takes no web out of service: the page says what is the matter, and what to do.
        ready = all(value == "ok" for part, value in parts.items() if part not in {"client", "clock"})
        return reply(ReadyView(status="ok" if ready else "ill", **parts), 200 if ready else 503)

    async def _parts(self) -> dict[str, str]:
        try:
            await self._redis.set(keys.PROBE, now_ms(), px=keys.MINUTE)
            redis = "ok"
        except TROUBLE as error:
            redis = reason(error)
            if not isinstance(error, RedisRefuses) or error.word not in READABLE:
                return _blind(redis)
        moment = await gauges.read(self._redis)
        living, ill = len(moment.living), len(moment.ill_stores)
        workers, store = "ok", "ok"
        if not living:
            workers = store = "none alive"
        elif ill == living:
            store = "away from every worker"
        clocks = [] if (own := _clock()) == "ok" else [own]
        clocks += [f"a worker is {word}" for word in moment.wrong_clocks.values()]  # whose host is no stranger's matter
        told = ", ".join(clocks) or "ok"
        return {"redis": redis, "workers": workers, "store": store, "client": moment.client, "clock": told}

    @operation("GET", "/metrics", Answer(200, "Prometheus' text format.", media="text/plain"), scopes=OPS)
    async def metrics(self, _request: Request) -> Response:
        """Counters, histograms and gauges, for Prometheus."""
        from prometheus_client import CONTENT_TYPE_LATEST  # 1 MB, which a web process that nobody asks has no use for

        from app.ops import exposition

        try:
            moment = await gauges.read(self._redis)
            switches = await answer(self._redis.hkeys(keys.SWITCH))
        except TROUBLE as error:
            log.warning("metrics.unread", error=reason(error))
            raise problems.of_redis(error) from None
        text = exposition.text(moment, sockets=self._sockets(), switches=map(odd.text, switches))
        return Response(text, media_type=CONTENT_TYPE_LATEST)


def _blind(redis: str) -> dict[str, str]:
    """The parts as far as they can be told when Redis cannot be read."""
    return {"redis": redis, **dict.fromkeys(("workers", "store", "client"), "unknown"), "clock": _clock()}


def _clock() -> str:
    word = in_words(skew_ms())
    return word if word == "ok" else f"web is {word}"
