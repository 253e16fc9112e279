"""A Redis in which every name of the service has something, as if it had served for a day."""

from dataclasses import dataclass

from arq.connections import ArqRedis
from pydantic import SecretStr
from starlette.requests import Request

from app.access import Link, LinkBook
from app.api.models import NewLink
from app.api.repeats import Repeats
from shared.core import keys
from shared.core.apikeys import ApiKey
from shared.core.clock import now_ms
from shared.core.events import EventType, IncomingMessage
from shared.core.ids import CompanyId, SessionId, WorkerId
from shared.core.lifecycle import State
from shared.core.messages import Fate, MessageState
from shared.core.protocol import Method
from shared.jobs.queue import enqueue
from shared.settings import Settings
from shared.state.claims import Claims, Subject, queued
from shared.state.contacts import Contact, Contacts
from shared.state.cooldowns import Asker, Cooldowns
from shared.state.events import Arrival, EventShelf, News, Result, Tried
from shared.state.forgetting import Forgetting
from shared.state.lease import LEASE_MS, Lease, Leases
from shared.state.outbox import Message, Outbox
from shared.state.phones import Phones
from shared.state.receivers import Receivers
from shared.state.snapshots import Snapshots
from shared.state.switches import Switches
from shared.state.webrevision import WebRevisions
from shared.wa import wa
from tests.unit.world import change, way

KEY = "an-api-key-of-the-tests"
NUMBER, OTHER_NUMBER = "+79001234567", "+79007654321"
LINKED, RUNS, WAITS, AWAY = (SessionId(f"company_{one}") for one in ("salon-1", "runs", "waits", "away"))
DEAD, LIVING = WorkerId("dead"), WorkerId("living")
SOON = keys.HOUR
NEWS = News(tuple(EventType))
TEXT = Message(OTHER_NUMBER, "hello")
IN = IncomingMessage(id="A", at=5, chat=NUMBER, sender=NUMBER, kind="text", text="hello", own=False)


def settings(url: str) -> Settings:
    return Settings.model_validate(
        {
            "secret_key": SecretStr("s" * 32),
            "api_keys": (SecretStr(KEY),),
            "redis_url": url,
            "public_url": "https://onboarding.example",
            "webhook_url": "http://127.0.0.1:9/hooks",
            "webhook_secret": "t" * 40,
        }
    )


@dataclass(frozen=True)
class Life:
    """What the tour asks by name: a text that was sent, and an event that waits."""

    text: str
    event: str


async def live(redis: ArqRedis, config: Settings) -> Life:
    """Fill every name."""
    claims, snapshots, leases = Claims(redis, NEWS), Snapshots(redis, NEWS), Leases(redis)
    outbox, shelf = Outbox(redis, rate=60, news=NEWS), EventShelf(redis, NEWS)
    for session, state in ((LINKED, State.LINKED), (RUNS, State.AWAITING_PHONE), (AWAY, State.RECONNECTING)):
        subject = Subject(f"link-of-{session}", now_ms() + SOON, phone=NUMBER, expected=NUMBER, address="a")
        asked = await claims.request(session, subject, queued(Method.CODE, "attempt.requested"))
        lease = await leases.acquire(session, DEAD, attempt=asked.attempt)
        assert lease is not None
        for step in way(State.QUEUED, state):
            await snapshots.save(lease, change(step, method=Method.QR, ending=step is State.LINKED))
        await claims.spend(subject)
    await claims.request(WAITS, Subject("L", now_ms() + SOON), queued(Method.QR, "attempt.requested"))
    await redis.zadd(keys.OFFLINE, {AWAY: 1})

    sent = await outbox.accept(LINKED, TEXT, "key")
    linked = Lease(LINKED, DEAD, int((await redis.get(keys.lease(LINKED)) or b"").rpartition(b":")[2]))
    await outbox.step(LINKED, lease=linked, begin=sent)
    await outbox.settle(LINKED, sent, Fate(MessageState.SENT, whatsapp_id="3EB0", at=now_ms()))
    await outbox.accept(LINKED, TEXT)
    await redis.zadd(keys.OUTBOXES, {LINKED: 1})
    await shelf.step(0, come=[Arrival(LINKED, IN)])
    await redis.set(keys.lost(LINKED), 3, px=SOON)

    contacts, cooldowns = Contacts(redis, config.secret_key), Cooldowns(redis, config.secret_key)
    await contacts.keep(LINKED, OTHER_NUMBER, Contact(True, OTHER_NUMBER))
    await Phones(redis).write(LINKED, 0, NUMBER)
    for _ in range(5):
        await cooldowns.refused(Asker(NUMBER, RUNS, cooldowns.address("1.2.3.4")))
    await cooldowns.take_code(Asker(NUMBER, RUNS), SOON)
    again = Request({"type": "http", "headers": [(b"idempotency-key", b"key")], "path_params": {}})
    again.state.key = ApiKey("k", b"", frozenset())
    await Repeats(redis, "links").first(again, NewLink(company_id="waits"), {"id": "L", "expiresAt": now_ms()})
    await LinkBook(redis).write(Link("L", CompanyId("waits"), now_ms() + SOON))
    await Receivers(config, redis).put(CompanyId("salon-1"), "http://127.0.0.1:9/own", "t" * 40, frozenset(EventType))

    first, *_ = (await shelf.step(1)).due
    await shelf.step(0, ended=[Tried(first, Result.GIVEN_UP, "status 500", dies=True)])
    await Switches(redis).throw("region:KZ", "on", by="anna", why="why")
    fields = [["job", "link"], ["session", LINKED], ["error", "KeyError"]]
    await wa(redis, "record", names={"stream": keys.FAILED_JOBS}, fields=fields, counters=["odd"])
    await Forgetting(redis, config.secret_key).wish(SessionId("company_gone"), "anna")
    revisions = WebRevisions(redis)
    await revisions.found(1_000_000_000, "page")
    await revisions.refused(999_999_999)
    await revisions.is_news(999_999_999)
    await leases.beat(LIVING, 7)
    for worker in (DEAD, LIVING):
        await redis.hset(keys.worker(worker), mapping={"sessions": 1, "maxSessions": 9, "at": now_ms(), "store": "ok"})
        await redis.pexpire(keys.worker(worker), keys.WORKER_TTL)
        await enqueue(redis, keys.queue_worker(worker), "send", LINKED, "text", job_id=f"send:{worker}")
        await redis.set(keys.taken(worker), 1, px=SOON)
    for queue in (keys.QUEUE_SESSIONS, keys.QUEUE_RESUME):
        await enqueue(redis, queue, "resume", LINKED, job_id=f"resume:{queue}")
    for name in (keys.SWEEP, keys.SWEPT, keys.SETTLING, keys.PROBE, keys.starts(RUNS), keys.pace(LINKED)):
        await redis.set(name, "1", px=keys.MINUTE)
    await redis.set(keys.SWEEP, DEAD, px=keys.MINUTE)
    await redis.delete(keys.alive(DEAD), keys.SETTLING)
    await redis.zadd(keys.WORKERS, {DEAD: now_ms() - LEASE_MS - 1000})
    waiting = await redis.zrange(keys.WEBHOOKS, 0, 0)
    return Life(sent, waiting[0].decode())
