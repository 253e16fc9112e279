"""The one Lua file: said twice is done once, no writer takes a forbidden step, and Redis' clock is the only one."""

import re
import secrets
import shutil
import subprocess
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, cast

import pytest
from arq.connections import ArqRedis
from pydantic import SecretStr

from shared import wa as wa_module
from shared.core import keys
from shared.core.clock import now_ms
from shared.core.events import EventType, IncomingMessage
from shared.core.ids import SessionId
from shared.core.lifecycle import CANCELLABLE, DEVICE, RUNNING, STEPS, IllegalStep, State
from shared.core.messages import Fate, MessageState
from shared.core.protocol import Body, MessageType
from shared.jobs.queue import enqueue
from shared.state.claims import Subject
from shared.state.cooldowns import Asker, Cooldowns
from shared.state.events import Arrival, EventShelf, News, Result, Told, Tried
from shared.state.lease import NOBODY
from shared.state.outbox import Entry, Message, Next, Outbox, Written
from shared.state.rescue import SWEEP_GRACE_MS
from shared.state.snapshots import Change
from shared.state.switches import Switches
from shared.wa import Wa
from tests.unit.world import ONE, OTHER, PHONE, SESSION, Ear, World, change, stop_beating

Said = tuple[str, Callable[[World], Awaitable[Callable[[], Awaitable[object]]]]]
SCRIPTS = sorted(re.findall(r"^function script\.(\w+)", wa_module._SOURCE.read_text(), re.MULTILINE))
SECOND = SessionId("company_second")


def event(event_id: str = "e1") -> Told:
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


async def an_advance(world: World) -> Callable[[], Awaitable[object]]:
    lease = await world.serve()
    return lambda: world.leases.advance(lease)


async def a_release(world: World) -> Callable[[], Awaitable[object]]:
    lease = await world.serve()
    return lambda: world.leases.release(lease)


async def an_abandoning(world: World) -> Callable[[], Awaitable[object]]:
    lease = await world.serve()
    return lambda: world.leases.abandon(lease)


async def a_freeing(world: World) -> Callable[[], Awaitable[object]]:
    await world.serve(state=State.LINKED)
    await world.lapse()
    return lambda: world.leases.free(ONE, [SESSION])


async def a_last_will(world: World) -> Callable[[], Awaitable[object]]:
    await world.serve()
    return lambda: Wa(world.redis)("last_will", worker=ONE)


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
    names = {
        "from": queue,
        "queue": keys.QUEUE_SESSIONS,
        "wake": keys.wake(keys.QUEUE_SESSIONS),
        "worker": keys.worker(ONE),
    }
    return lambda: Wa(world.redis)("bury", names=names, worker=ONE, by=OTHER)


_SWEEP = {"sweep": keys.SWEEP, "sweep_again": keys.SWEEP_AGAIN, "swept": keys.SWEPT}


async def a_sweeps_begin(world: World) -> Callable[[], Awaitable[object]]:
    return lambda: Wa(world.redis)("begin_sweep", names=_SWEEP, worker=ONE)


async def a_sweeps_end(world: World) -> Callable[[], Awaitable[object]]:
    wa = Wa(world.redis)
    assert await wa("begin_sweep", names=_SWEEP, worker=ONE)
    assert not await wa("begin_sweep", names=_SWEEP, worker=OTHER)
    return lambda: wa("end_sweep", names=_SWEEP, worker=ONE, rest=50_000)


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
    return lambda: outbox.step(SESSION, lease=lease, begin=Next(text))


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
        await outbox.step(SESSION, lease=lease, begin=Next(text))
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
    return lambda: Wa(world.redis)("take_jobs", names=names, room=2, look=9, mark=mark, worker=ONE, life=30_000)


async def a_look_at_queues(world: World) -> Callable[[], Awaitable[object]]:
    names = {"one": keys.QUEUE_SESSIONS, "other": keys.QUEUE_LINKING}
    return lambda: Wa(world.redis)("due_queues", names=names, looks=True, queues=list(names))


async def a_record(world: World) -> Callable[[], Awaitable[object]]:
    about: dict[str, Any] = {"fields": [["event", "a"]], "counters": ["swept"], "event": "a", "detail": "b"}
    return lambda: Wa(world.redis)("record", SESSION, names={"stream": keys.OPERATORS}, **about)


async def a_report(world: World) -> Callable[[], Awaitable[object]]:
    names = {"worker": keys.worker(ONE)}
    return lambda: Wa(world.redis)("report", names=names, looks=True, fields=[["sessions", "7"]], ttl=keys.WORKER_TTL)


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


def test_every_script_is_in_the_table():
    assert sorted({name.partition(" ")[0] for name in SAID}) == SCRIPTS


@pytest.mark.parametrize("name", SAID)
async def test_a_script_that_is_said_twice_is_done_once_and_answers_the_same(world, monkeypatch, name):
    """As when the connection breaks after Redis has done it: redis-py says the command again."""
    say, script = await SAID[name](world), name.partition(" ")[0]
    evalsha, between, heard = world.redis.evalsha, {}, []
    answers: list[tuple[object, object]] = []

    async def everything():
        found = await world.everything()
        if script == "beat":  # a sign of life may be given twice
            found.pop(keys.WORKERS.encode())
        return found

    async def twice(sha, count, *rest):
        ran = rest[count].decode() if isinstance(rest[count], bytes) else rest[count]
        first = await evalsha(sha, count, *rest)
        if ran == script:
            between.update(await everything())
            heard.extend(await ear.heard())
            second = await evalsha(sha, count, *rest)
            answers.append((first, second))
            assert await ear.heard() == [], "it is announced once"
            assert await everything() == between, "the second time nothing more is done"
            return second
        return first

    async with Ear(world.redis) as ear:
        monkeypatch.setattr(world.redis, "evalsha", twice)
        await say()
    assert answers, f"{script} was not said"
    assert all(first == second for first, second in answers)


FORBIDDEN = sorted((old, new) for old in State for new in State if new not in STEPS[old])


async def brought_to(world: World, state: State) -> Any:
    """A lease, and a session in this state."""
    lease = await world.serve()
    if state is State.UNLINKED:
        await world.lead(lease, State.LINKED)
    await world.lead(lease, state)
    return lease


@pytest.mark.parametrize("state", sorted(State))
async def test_the_owner_cannot_write_a_forbidden_step(world, state):
    lease = await brought_to(world, state)
    before = await world.everything()
    for new in (one for old, one in FORBIDDEN if old is state):
        with pytest.raises(IllegalStep, match=f"{state.value} → {new.value}"):
            await world.snapshots.save(lease, change(new, ending=True, counters=("failures",)))
        assert await world.everything() == before, "nothing was changed"


@pytest.mark.parametrize("state", sorted(State))
async def test_nobody_else_writes_a_forbidden_step_either(world, state):
    lease = await brought_to(world, state)
    await world.leases.release(lease)
    await world.redis.delete(keys.claim(SESSION))
    await world.redis.zadd(keys.CLAIMS, {SESSION: 1})
    writers: list[tuple[frozenset[State], Callable[[Change], Awaitable[object]]]] = [
        (frozenset(State) - DEVICE - {State.LINKING}, lambda one: world.claims.request(SESSION, Subject("L", 1), one)),
        (CANCELLABLE, lambda one: world.claims.cancel(SESSION, one)),
        (CANCELLABLE, lambda one: world.rescue.restart(SESSION, one)),
    ]
    wa = Wa(world.redis)
    writers.append(
        (RUNNING, lambda one: wa("close_overdue", SESSION, change=one.dump(), waited={"change": one.dump()}))
    )
    for new in (one for old, one in FORBIDDEN if old is state):
        for may_write, write in writers:
            before = await world.state()
            if state in may_write:
                with pytest.raises(IllegalStep):
                    await write(Change(Body(state=new), MessageType.STATUS, "forbidden"))
            else:
                await write(Change(Body(state=new), MessageType.STATUS, "forbidden"))
            assert await world.state() is before


async def test_an_owner_that_redis_forgot_may_say_where_it_stands(world):
    lease = await brought_to(world, State.QUEUED)
    with pytest.raises(IllegalStep):
        await world.snapshots.save(lease, change(State.LINKED))
    assert await world.snapshots.save(lease, replace(change(State.LINKED), restated=True))
    assert await world.state() is State.LINKED


async def test_a_snapshot_that_nobody_can_read_is_taken_for_none(world):
    await world.redis.hset(keys.snapshot(SESSION), mapping={"attempt": 1, "seq": 1, "body": b"{no json"})
    assert (await world.ask()).attempt


async def test_of_many_calls_for_a_sweep_one_worker_sweeps_and_begins_again_at_the_end(world):
    wa = Wa(world.redis)

    async def begin(worker):
        return await wa("begin_sweep", names=_SWEEP, worker=worker)

    assert await begin(ONE)
    assert not await begin(OTHER)
    assert await wa("end_sweep", names=_SWEEP, worker=ONE, rest=50_000) is True
    assert await begin(ONE)
    assert await wa("end_sweep", names=_SWEEP, worker=ONE, rest=50_000) is False
    assert await world.redis.pttl(keys.SWEPT) > 0


async def test_a_sweep_whose_worker_died_may_be_taken_by_another(world):
    wa = Wa(world.redis)
    assert await wa("begin_sweep", names=_SWEEP, worker=ONE)
    await stop_beating(world.redis, ONE)
    assert await wa("begin_sweep", names=_SWEEP, worker=OTHER)


async def test_every_heartbeat_finds_an_abandoned_lease(world):
    lease = await world.serve()
    await world.leases.abandon(lease)
    assert (await world.leases.beat(OTHER, 1)).lapsed
    assert await world.leases.dead() == [NOBODY]


def test_luacheck_finds_nothing():
    tool = shutil.which("luacheck")
    if tool is None:
        pytest.skip("luacheck is not installed: apt install lua-check")
    root = wa_module._SOURCE.parents[2]
    said = subprocess.run([tool, "--no-color", str(wa_module._SOURCE)], cwd=root, capture_output=True, text=True)
    assert said.returncode == 0, said.stdout


async def test_a_script_runs_though_each_connection_leads_to_another_server(world, monkeypatch):
    """In a fail-over one server is told the script, and the other is asked for it."""

    async def told_elsewhere(_source):
        return "0" * 40

    monkeypatch.setattr(world.redis, "script_load", told_elsewhere)
    assert (await world.ask()).attempt
