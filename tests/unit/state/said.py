"""A call of each script of `shared/state/wa.lua`, in a world where it has something to do. One table, one file."""

import secrets
from collections.abc import Awaitable, Callable
from typing import Any, cast

from arq.connections import ArqRedis
from pydantic import SecretStr

from shared.core import keys
from shared.core.clock import now_ms
from shared.core.events import EventType, IncomingMessage
from shared.core.ids import SessionId
from shared.core.lifecycle import State
from shared.core.messages import Fate, MessageState
from shared.jobs.queue import enqueue
from shared.state.claims import Subject
from shared.state.cooldowns import Asker, Cooldowns
from shared.state.events import Arrival, EventShelf, News, Result, ToldEvent, Tried
from shared.state.outbox import Entry, Message, Outbox, Written
from shared.state.rescue import SWEEP_GRACE_MS
from shared.state.switches import Switches
from shared.wa import wa
from tests.unit.world import ONE, OTHER, PHONE, SESSION, World, change, stop_beating

SECOND = SessionId("company_second")


def event(event_id: str = "e1") -> ToldEvent:
    return News(tuple(EventType)).event(SESSION, EventType.SESSION_LINKED, {}, event_id=event_id)


def ours(world: World) -> ArqRedis:
    return cast("ArqRedis", world.redis)


async def a_request(world: World) -> Callable[[], Awaitable[object]]:
    return lambda: world.ask(PHONE)


async def a_cancelling(world: World) -> Callable[[], Awaitable[object]]:
    await world.ask()
    return lambda: world.claims.cancel(SESSION, change(State.CANCELLED, counters=("endings",)))


async def a_reclaiming(world: World) -> Callable[[], Awaitable[object]]:
    lease = await world.serve()
    return lambda: world.claims.reclaim(lease, Subject("L", now_ms() + 60_000, phone=PHONE))


async def a_spending(world: World) -> Callable[[], Awaitable[object]]:
    return lambda: world.claims.spend(Subject("L", now_ms() + 60_000))


async def a_closing(world: World) -> Callable[[], Awaitable[object]]:
    await world.serve(deadline=now_ms() - SWEEP_GRACE_MS - 1)
    return lambda: world.rescue.close_overdue(SESSION, "swept")


async def a_restart(world: World) -> Callable[[], Awaitable[object]]:
    await world.serve()
    await world.lapse()
    return lambda: world.rescue.restart(SESSION, change(State.QUEUED, counters=("swept",)))


async def a_save(world: World) -> Callable[[], Awaitable[object]]:
    lease = await world.serve()
    return lambda: world.snapshots.save(lease, change(State.FAILED, ending=True, counters=("failures",)))


async def an_acquiring(world: World) -> Callable[[], Awaitable[object]]:
    asked = await world.ask()
    return lambda: world.leases.acquire(SESSION, ONE, attempt=asked.attempt)


async def a_retaking(world: World) -> Callable[[], Awaitable[object]]:
    lease = await world.serve()
    return lambda: world.leases.retake(ONE, [lease])


async def an_advance(world: World) -> Callable[[], Awaitable[object]]:
    lease = await world.serve()
    return lambda: world.leases.advance(lease)


async def a_release(world: World) -> Callable[[], Awaitable[object]]:
    lease = await world.serve()
    return lambda: world.leases.release(lease)


async def an_abandoning(world: World) -> Callable[[], Awaitable[object]]:
    await world.serve()
    return lambda: world.leases.abandon(SESSION, ONE)


async def a_freeing(world: World) -> Callable[[], Awaitable[object]]:
    await world.serve(state=State.LINKED)
    await world.lapse()
    return lambda: world.leases.free(ONE, [SESSION])


async def a_last_will(world: World) -> Callable[[], Awaitable[object]]:
    await world.serve()
    return lambda: wa(world.redis, "last_will", worker=ONE)


async def a_beat(world: World) -> Callable[[], Awaitable[object]]:
    await world.serve()
    await world.leases.beat(ONE, 7)
    return lambda: world.leases.beat(ONE, 7)


async def a_look(world: World) -> Callable[[], Awaitable[object]]:
    lease = await world.serve()
    return lambda: world.leases.look(ONE, [lease])


async def a_search_for_the_dead(world: World) -> Callable[[], Awaitable[object]]:
    await world.serve()
    await world.lapse()
    return world.leases.dead


async def a_search_for_the_unowned(world: World) -> Callable[[], Awaitable[object]]:
    await world.serve()
    return lambda: world.leases.unowned([SESSION, SECOND])


async def a_burial(world: World) -> Callable[[], Awaitable[object]]:
    queue = keys.queue_worker(ONE)
    await enqueue(ours(world), queue, "unlink", SESSION, job_id="unlink")
    await world.leases.beat(ONE, 1)
    await stop_beating(world.redis, ONE)
    return lambda: wa(world.redis, "bury", worker=ONE, by=OTHER)


async def a_sweeps_begin(world: World) -> Callable[[], Awaitable[object]]:
    return lambda: wa(world.redis, "begin_sweep", worker=ONE)


async def a_sweeps_end(world: World) -> Callable[[], Awaitable[object]]:
    for one in (ONE, OTHER):
        assert await wa(world.redis, "begin_sweep", worker=one) == ONE
    return lambda: wa(world.redis, "end_sweep", worker=ONE, rest=50_000)


async def an_event(world: World) -> Callable[[], Awaitable[object]]:
    return lambda: EventShelf(world.redis).put(SESSION, event())


async def the_events_that_are_due(world: World) -> Callable[[], Awaitable[object]]:
    shelf = EventShelf(world.redis)
    await shelf.put(SESSION, event())
    return lambda: shelf.step(5)


async def an_events_end(world: World) -> Callable[[], Awaitable[object]]:
    shelf = EventShelf(world.redis)
    await shelf.put(SESSION, event())
    (due,) = (await shelf.step(1)).due
    return lambda: shelf.step(0, ended=[Tried(due, Result.RETRIED, "status 500", 1000)])


async def an_event_sent_anew(world: World) -> Callable[[], Awaitable[object]]:
    shelf = EventShelf(world.redis)
    await shelf.put(SESSION, event())
    return lambda: shelf.resend("e1")


async def an_offline_session(world: World) -> Callable[[], Awaitable[object]]:
    lease = await world.serve()
    for state in (State.AWAITING_PHONE, State.LINKING, State.LINKED, State.RECONNECTING):
        await world.snapshots.save(lease, change(state))
    await world.redis.zadd(keys.OFFLINE, {SESSION.encode(): 1, b"\xff": 1})
    return lambda: EventShelf(world.redis, News(tuple(EventType))).step(0)


async def a_text(world: World) -> Callable[[], Awaitable[object]]:
    return lambda: Outbox(world.redis).accept(SESSION, Message(PHONE, "hello"), "key")


async def a_texts_beginning(world: World) -> Callable[[], Awaitable[object]]:
    lease = await world.serve(state=State.LINKED)
    outbox = Outbox(world.redis, rate=60)
    text = await outbox.accept(SESSION, Message(PHONE, "hello"))
    return lambda: outbox.step(SESSION, lease=lease, begin=text)


def writing(entry: Written, *before: Written) -> Callable[[World], Awaitable[Callable[[], Awaitable[object]]]]:
    """Something that is written of a text, after what was written of it before."""
    fates = {
        Written.ENDED: Fate(MessageState.SENT, whatsapp_id="3EB0", at=1),
        Written.CONFIRMED: Fate(MessageState.DELIVERED, at=2),
    }

    async def made(world: World) -> Callable[[], Awaitable[object]]:
        lease = await world.serve(state=State.LINKED)
        outbox = Outbox(world.redis)
        text = await outbox.accept(SESSION, Message(PHONE, "hello"))
        await outbox.step(SESSION, lease=lease, begin=text)
        for one in before:
            await outbox.step(SESSION, [Entry(text, one, fates.get(one))])
        return lambda: outbox.step(SESSION, [Entry(text, entry, fates.get(entry))])

    return made


async def a_look_at_texts(world: World) -> Callable[[], Awaitable[object]]:
    outbox = Outbox(world.redis)
    await outbox.accept(SESSION, Message(PHONE, "hello"))
    return lambda: outbox.waiting(SESSION)


async def a_text_that_comes_in(world: World) -> Callable[[], Awaitable[object]]:
    shelf = EventShelf(world.redis, News([EventType.MESSAGE_RECEIVED]))
    said = IncomingMessage(id="A", at=5, chat=PHONE, sender=PHONE, kind="text", text="hello", own=False)
    return lambda: shelf.step(0, come=[Arrival(SESSION, said, lost=2)])


def cooling(world: World) -> tuple[Cooldowns, Asker]:
    return Cooldowns(world.redis, SecretStr("s" * 32)), Asker(PHONE, SESSION)


async def a_refusal(world: World) -> Callable[[], Awaitable[object]]:
    cooldowns, asker = cooling(world)
    return lambda: cooldowns.refused(asker)


async def a_codes_taking(world: World) -> Callable[[], Awaitable[object]]:
    cooldowns, asker = cooling(world)
    return lambda: cooldowns.take_code(asker, 60_000)


async def a_codes_return(world: World) -> Callable[[], Awaitable[object]]:
    cooldowns, asker = cooling(world)
    await cooldowns.take_code(asker, 60_000)
    return lambda: cooldowns.give_code_back(asker)


async def a_job(world: World) -> Callable[[], Awaitable[object]]:
    return lambda: enqueue(ours(world), keys.QUEUE_SESSIONS, "unlink", SESSION, job_id="unlink")


async def a_jobs_taking(world: World) -> Callable[[], Awaitable[object]]:
    for number in range(3):
        await enqueue(ours(world), keys.QUEUE_SESSIONS, "unlink", SESSION, job_id=f"unlink{number}")
    names = {"queue": keys.QUEUE_SESSIONS}
    mark = f"{ONE}:{secrets.token_hex(4)}"
    return lambda: wa(world.redis, "take_jobs", names=names, room=2, look=9, mark=mark, worker=ONE, life=30_000)


async def a_look_at_queues(world: World) -> Callable[[], Awaitable[object]]:
    names = {"one": keys.QUEUE_SESSIONS, "other": keys.QUEUE_LINKING}
    return lambda: wa(world.redis, "due_queues", names=names, looks=True, queues=list(names))


async def a_record(world: World) -> Callable[[], Awaitable[object]]:
    about: dict[str, Any] = {"fields": [["event", "a"]], "counters": ["swept"], "event": "a", "detail": "b"}
    return lambda: wa(world.redis, "record", SESSION, names={"stream": keys.OPERATORS}, **about)


async def a_report(world: World) -> Callable[[], Awaitable[object]]:
    return lambda: wa(world.redis, "report", looks=True, worker=ONE, fields=[["sessions", "7"]])


async def a_switch(world: World) -> Callable[[], Awaitable[object]]:
    return lambda: Switches(world.redis).throw("pause", "on", by="anna", why="why")


SAID = {
    "request": a_request,
    "cancel": a_cancelling,
    "reclaim": a_reclaiming,
    "spend_link": a_spending,
    "close_overdue": a_closing,
    "restart": a_restart,
    "save": a_save,
    "acquire": an_acquiring,
    "retake": a_retaking,
    "advance": an_advance,
    "release": a_release,
    "abandon": an_abandoning,
    "free": a_freeing,
    "beat": a_beat,
    "look": a_look,
    "dead_workers": a_search_for_the_dead,
    "unowned": a_search_for_the_unowned,
    "bury": a_burial,
    "last_will": a_last_will,
    "begin_sweep": a_sweeps_begin,
    "end_sweep": a_sweeps_end,
    "tell": an_event,
    "serve_events take": the_events_that_are_due,
    "serve_events end": an_events_end,
    "serve_events offline": an_offline_session,
    "serve_events come": a_text_that_comes_in,
    "resend_event": an_event_sent_anew,
    "accept_text": a_text,
    "step_texts begin": a_texts_beginning,
    "step_texts requeued": writing(Written.REQUEUED),
    "step_texts ended": writing(Written.ENDED),
    "step_texts confirmed": writing(Written.CONFIRMED, Written.ENDED),
    "step_texts doubted": writing(Written.DOUBTED, Written.ENDED),
    "look_at_texts": a_look_at_texts,
    "refuse": a_refusal,
    "take_code": a_codes_taking,
    "give_code_back": a_codes_return,
    "enqueue": a_job,
    "take_jobs": a_jobs_taking,
    "due_queues": a_look_at_queues,
    "record": a_record,
    "report": a_report,
    "throw": a_switch,
}
