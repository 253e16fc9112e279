"""What operators and their monitors ask web: is it alive, can it serve, what has it counted."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector
from redis.asyncio import Redis
from redis.exceptions import RedisError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.access import Access
from app.api import NOT_ALLOWED, problem_response
from app.relay import Relay
from shared import keys
from shared.clock import now_ms
from shared.metrics import HELP, Counter, parse_field

WORKER_ALIVE_MS = 10_000
"""A worker whose last heartbeat is older than this is not counted as living."""


class _Collected(Collector):
    """Metrics that were read just now, as prometheus-client wants them."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        return iter(self._families)


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
        return JSONResponse({"status": "ok"})

    async def readyz(self, _request: Request) -> Response:
        """200 when Redis answers and at least one worker lives; otherwise 503 and which part is ill."""
        try:
            workers = await self._redis.zcount(keys.WORKERS, now_ms() - WORKER_ALIVE_MS, "+inf")
            parts = {"redis": "ok", "workers": "ok" if workers else "none alive"}
        except (RedisError, OSError, TimeoutError) as error:
            parts = {"redis": type(error).__name__, "workers": "unknown"}
        ready = all(value == "ok" for value in parts.values())
        return JSONResponse({"status": "ok" if ready else "ill", **parts}, 200 if ready else 503)

    async def metrics(self, request: Request) -> Response:
        """Prometheus text, for holders of an API key."""
        if not self._access.is_integrator(request):
            return problem_response(NOT_ALLOWED)
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Collected(await self._families()))
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    async def _families(self) -> list[Metric]:
        now = now_ms()
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.hgetall(keys.STATS)
            pipe.zcard(keys.QUEUE_LINKING)
            pipe.zcount(keys.LEASES, now, "+inf")
            pipe.zcount(keys.WORKERS, now - WORKER_ALIVE_MS, "+inf")
            stats, waiting, held, workers = await pipe.execute()
        counted: dict[str, list[tuple[dict[str, str], float]]] = {}
        for name, value in stats.items():
            metric, labels = parse_field(name.decode())
            counted.setdefault(metric, []).append((labels, float(value)))
        families: list[Metric] = []
        for counter in Counter:
            samples = counted.get(counter.value, [])
            names = sorted({key for labels, _ in samples for key in labels})
            family = CounterMetricFamily(f"wa_{counter.value}", HELP[counter], labels=names)
            for labels, value in samples:
                family.add_metric([labels.get(name, "") for name in names], value)
            families.append(family)
        for name, text, gauge in (
            ("wa_queue_length", "Onboardings that wait for a worker.", waiting),
            ("wa_leases", "Sessions that a worker owns: attempts and linked devices.", held),
            ("wa_workers", "Workers with a recent heartbeat.", workers),
            ("wa_sockets", "Browser sockets on this web process.", self._relay.sockets),
        ):
            families.append(GaugeMetricFamily(name, text, value=gauge))
        return families
