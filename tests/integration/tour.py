"""A tour of every process through a Redis: what each of them reads and writes there in a minute of its life. One list is
one file."""

import asyncio
import io
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx
from arq.connections import ArqRedis
from rich.console import Console

from app.access import Link
from app.cli import acting, doctor, fleet, hooks, looking, story
from app.cli.terminal import Cannot, Operator, Output
from app.main import create_app
from app.onboarding import Endings, Onboarding
from app.page.relay import Relay
from app.page.slot import SocketEnded
from shared.core import keys
from shared.core.clock import now_ms
from shared.core.datum import replace
from shared.core.failures import Refused
from shared.core.ids import CompanyId, SessionId
from shared.jobs.queue import QueueWorker
from shared.settings import Settings
from shared.state.claims import Claims
from shared.state.contacts import Contacts
from shared.state.cooldowns import Asker, Cooldowns
from shared.state.deliveries import Deliveries, Standing
from shared.state.events import Arrival, EventShelf
from shared.state.lease import Lease, Leases
from shared.state.outbox import KeyReused, Outbox, OutboxFull
from shared.state.receivers import Receivers
from shared.state.rescue import Rescue
from shared.state.snapshots import Snapshots
from shared.state.switches import Switches
from shared.state.webrevision import WebRevisions
from tests.integration.a_life import (
    AWAY,
    DEAD,
    IN,
    KEY,
    LINKED,
    LIVING,
    NEWS,
    NUMBER,
    OTHER_NUMBER,
    RUNS,
    SOON,
    WAITS,
    Life,
)
from tests.unit.holding.house import FakeStore, House
from workers.delivery import Webhooks
from workers.engine import protocol as pipe
from workers.holding.session import HeldSession
from workers.jobs import room_elsewhere
from workers.sweeper import Sweeper

CLEAR = (Refused, Cannot, KeyReused, OutboxFull, SocketEnded)
"""What a process may answer; anything else that is raised is a process that has stumbled."""

Step = Callable[[], Awaitable[object]]


class Broken(Exception):
    """A process has stumbled; the cause says how."""


class Tour:
    """Every process reads, and writes, what it reads and writes in a minute of its life."""

    def __init__(self, redis: ArqRedis, config: Settings, life: Life) -> None:
        self._redis = redis
        self._config = config
        self._life = life
        self.statuses: set[int] = set()
        self._app = create_app(config, redis=redis)

    async def __call__(self, allowed: Callable[[Exception], bool] = lambda _: False) -> list[str]:
        """Where somebody stumbled, but for what is `allowed`."""
        mine, others = [*self._workers()], [*self._page(), *self._api(), *self._command()]
        return await self._walk([*mine, *others], allowed)

    async def again(self) -> list[str]:
        """The same for what workers do again and again by themselves."""
        return await self._walk([*self._workers()], lambda _: False)

    def _workers(self) -> Iterator[tuple[str, Step]]:
        yield from self._worker()
        yield from self._sweeper()
        yield from self._delivery()

    async def _walk(self, steps: list[tuple[str, Step]], allowed: Callable[[Exception], bool]) -> list[str]:
        stumbled = []
        for name, step in steps:
            try:
                await step()
            except CLEAR:
                pass
            except Exception as error:
                if not allowed(error):
                    stumbled.append(f"{name}: {type(error).__name__}: {str(error)[:200]}")
        return stumbled

    def _worker(self) -> Iterator[tuple[str, Step]]:
        redis, leases = self._redis, Leases(self._redis)
        outbox = Outbox(redis, rate=60, news=NEWS)
        shelf = EventShelf(redis, NEWS)
        cooldowns, contacts = Cooldowns(redis, self._config.secret_key), Contacts(redis, self._config.secret_key)
        asker = Asker(NUMBER, RUNS, cooldowns.address("1.2.3.4"))
        yield "beat", lambda: leases.beat(LIVING, 8)
        yield "look", lambda: leases.look(LIVING, [Lease(LINKED, LIVING, 5)])
        yield "names", lambda: leases.keep_names(LIVING, [Lease(LINKED, LIVING, 5)])
        yield "stray", lambda: leases.abandon(AWAY, LIVING)
        yield "switches", Switches(redis).look
        yield "room", lambda: room_elsewhere(redis, DEAD)
        yield "revisions", WebRevisions(redis).read
        yield "revision accepted", lambda: WebRevisions(redis).accepted(999_999_999)
        yield "subject", lambda: Claims(redis).subject(RUNS)
        yield "standings", lambda: Claims(redis).standings(f"link-of-{RUNS}", "L")
        yield "refused", lambda: cooldowns.refused(asker)
        yield "code", lambda: cooldowns.take_code(Asker(NUMBER, WAITS), SOON)
        yield "ban", lambda: cooldowns.until(NUMBER, now_ms() + 1000)
        yield "asked", lambda: contacts.asked(LINKED, "ticket")
        yield "receipts", lambda: outbox.by_whatsapp_id(LINKED, "3EB0")
        yield "in", lambda: shelf.step(5, come=[Arrival(LINKED, IN)])
        yield "in again", lambda: shelf.step(5, come=[Arrival(LINKED, IN.model_copy(update={"id": "B"}))])
        yield "session", self._hold
        for queue in (keys.QUEUE_LINKING, keys.QUEUE_SESSIONS, keys.QUEUE_RESUME, keys.queue_worker(LIVING)):
            yield f"jobs of {queue}", lambda queue=queue: self._work(queue)

    async def _hold(self) -> None:
        """A linked session is taken up, sends its texts, and writes where it stands."""
        house = House(self._redis, now_ms())
        for _ in range(2):
            await house.leases.beat(house.ownership.worker, 1)
            await house.sessions.resume(LINKED)
            await house.holders.hear(pipe.Held(session=LINKED))
            await house.sessions.send(LINKED)
            (held,) = house.ownership.owners(HeldSession)
            await held.renewed(replace(Lease(LINKED, house.ownership.worker, 0), token=held.lease.token))
            await house.sessions.ask_store()
            await house.ownership._beat()
        await house.sessions.hand_over()
        async with asyncio.timeout(5):
            for task in list(house.tasks):
                await task

    async def _work(self, queue: str) -> None:
        ran: list[tuple[object, ...]] = []

        async def job(_ctx: dict[str, Any], *ids: object) -> None:
            ran.append(ids)

        jobs = [_named(job, name) for name in ("link", "send", "resume", "sweep", "unlink", "forget")]
        worker = QueueWorker(queue, jobs, self._redis, worker=LIVING)
        await worker.start_due()
        await asyncio.gather(*worker.tasks.values())
        await worker.heart_beat()

    def _sweeper(self) -> Iterator[tuple[str, Step]]:
        store: Any = FakeStore(now_ms())
        sweeper = Sweeper(
            self._redis,
            Leases(self._redis),
            Rescue(self._redis),
            Snapshots(self._redis),
            store,
            Outbox(self._redis),
            LIVING,
        )

        async def registered() -> list[object]:
            return list(store.devices.values())

        store.to_hold = registered
        yield "sweep", sweeper.sweep

    def _delivery(self) -> Iterator[tuple[str, Step]]:
        async def deliver() -> None:
            tasks: list[asyncio.Task[object]] = []
            shelf, receivers = EventShelf(self._redis, NEWS), Receivers(self._config, self._redis)
            webhooks = Webhooks(
                self._config, shelf, receivers, lambda work, _: tasks.append(asyncio.ensure_future(work))
            )
            await webhooks._step(16)
            await asyncio.gather(*tasks)
            await webhooks.close()

        yield "webhooks", deliver

    def _page(self) -> Iterator[tuple[str, Step]]:
        redis = self._redis
        claims, cooldowns = Claims(redis, NEWS), Cooldowns(redis, self._config.secret_key)
        onboarding = Onboarding(redis, claims, cooldowns, region="RU")
        relay = Relay(redis, redis, Snapshots(redis), Rescue(redis))
        now = now_ms()
        runs, waits = (Link(f"new-{one}", CompanyId(one), now + SOON, one) for one in ("runs", "waits"))

        async def watch(session: SessionId) -> None:
            async with asyncio.timeout(5), relay.watch(session, "L") as slot:
                await slot.first()

        for session in (LINKED, RUNS, WAITS, AWAY):
            yield f"page of {session}", lambda session=session: watch(session)
        yield "links of the page", relay._revoked
        for link in (runs, waits):
            yield f"click of {link.id}", lambda link=link: onboarding.request_qr(link)
            yield f"code of {link.id}", lambda link=link: onboarding.request_code(link, OTHER_NUMBER, "1.2.3.4")
            yield f"cancel of {link.id}", lambda link=link: onboarding.cancel(link)
        yield "revoke", lambda: Endings(redis, claims).revoke_link("L")

    def _api(self) -> Iterator[tuple[str, Step]]:
        app: Any = self._app
        http = httpx.AsyncClient(
            transport=httpx.ASGITransport(app, raise_app_exceptions=True),
            base_url="http://web",
            headers={"authorization": f"Bearer {KEY}", "idempotency-key": "key"},
        )

        async def ask(method: str, path: str, body: object = None) -> None:
            answer = await http.request(method, path, json=body)
            self.statuses.add(answer.status_code)
            if answer.status_code == 500:
                raise Broken(f"{answer.status_code} {answer.text[:200]}")

        company = "/api/v1/companies/salon-1"
        message = {"to": OTHER_NUMBER, "text": "hello"}
        for method, path, body in (
            ("GET", "/readyz", None),
            ("GET", "/metrics", None),
            ("GET", "/api/v1/companies", None),
            ("GET", company, None),
            ("GET", "/api/v1/companies/runs/attempts/current", None),
            ("POST", "/api/v1/companies/runs/attempts", {"method": "qr"}),
            ("DELETE", "/api/v1/companies/waits/attempts/current", None),
            ("POST", f"{company}/messages", message),
            ("GET", f"{company}/messages/{self._life.text}", None),
            ("GET", f"{company}/contacts/{OTHER_NUMBER}", None),
            ("DELETE", f"{company}/session", None),
            ("POST", "/api/v1/links", {"companyId": "runs"}),
            ("GET", "/api/v1/links/L", None),
            ("GET", f"{company}/webhook", None),
            ("GET", "/api/v1/webhooks", None),
            ("GET", "/api/v1/webhooks?state=dead", None),
            ("GET", f"/api/v1/webhooks/{self._life.event}", None),
            ("POST", f"/api/v1/webhooks/{self._life.event}/resend", None),
            ("POST", "/api/v1/webhooks/test", {"companyId": "salon-1"}),
        ):
            yield f"{method} {path}", lambda method=method, path=path, body=body: ask(method, path, body)

        async def read_along() -> None:
            stream = app.feed._stream("0-0", gap=False)
            await anext(stream)
            await anext(stream)
            await stream.aclose()

        yield "feed", read_along

    def _command(self) -> Iterator[tuple[str, Step]]:
        op = Operator(self._redis, self._config, Console(file=io.StringIO()), may_sign=True)

        async def show(command: Callable[..., Awaitable[Output]], **arguments: Any) -> None:
            (await command(op, **arguments)).show(op.console)

        for name, command, arguments in (
            ("status", looking.status, {"company": None}),
            ("status of one", looking.status, {"company": "salon-1"}),
            ("sessions", looking.sessions, {"state": None}),
            ("timeline", story.timeline, {"company": "salon-1", "last": 50, "follow": False}),
            ("operators", story.timeline, {"company": "operators", "last": 50, "follow": False}),
            ("workers", fleet.workers, {}),
            ("queue", fleet.queue, {}),
            ("switches", fleet.switches, {}),
            ("cooldowns", acting.cooldowns, {"company": "runs", "phone": NUMBER, "clear": False, "by": "anna"}),
            ("unpark", acting.unpark, {"company": "salon-1", "by": "anna"}),
            ("waiting", hooks.deliveries, {"standing": "waiting"}),
            ("dead", hooks.deliveries, {"standing": "dead"}),
            ("event", hooks.show, {"event": self._life.event}),
            ("doctor", doctor.doctor, {"repair": True, "by": "anna"}),
        ):
            yield f"onboarding {name}", lambda c=command, a=arguments: show(c, **a)
        deliveries = Deliveries(self._redis, NEWS)
        yield "list", lambda: deliveries.list(Standing.WAITING)


def _named(job: Callable[..., Awaitable[None]], name: str) -> Callable[..., Awaitable[None]]:
    async def one(ctx: dict[str, Any], *ids: object) -> None:
        await job(ctx, *ids)

    one.__name__ = name
    return one
