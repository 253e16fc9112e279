"""From Redis to the slots: nothing is lost for long, nobody waits for another, and nothing grows."""

import asyncio

import orjson
import pytest
from redis.asyncio.client import PubSub

from app.page import relay as relay_module
from app.page.slot import SocketEnded
from shared.core import keys
from shared.core.ids import SessionId
from shared.core.lifecycle import State
from tests.integration.slots import channels, has, state_in
from tests.unit.world import ONE, SESSION, change
from tests.waiting import until


async def test_a_watcher_hears_of_every_later_snapshot(relay, world):
    async with relay.watch(SESSION) as slot:
        assert (await slot.first()).state is State.UNLINKED
        lease = await world.serve()
        assert await state_in(slot) in {"queued", "connecting"}
        await world.snapshots.save(lease, change(State.AWAITING_PHONE))
        while await state_in(slot) != "awaiting_phone":
            pass


async def test_a_linked_session_whose_worker_died_is_shown_as_the_api_tells_it(relay, world, monkeypatch):
    monkeypatch.setattr(relay_module, "TICK_SECONDS", 0.05)
    await world.serve(state=State.LINKED)
    read = await world.snapshots.read(SESSION)
    async with relay.watch(SESSION) as slot:
        assert (await slot.first()).state is State.LINKED
        waiting = asyncio.create_task(relay.newer(read, 60))
        await world.lapse()
        assert await state_in(slot) == "reconnecting"
        async with asyncio.timeout(5):
            await waiting  # a request of the API that waits for news
        (told,) = await world.snapshots.told([read])
        assert (told.body.state, told.version) == (State.RECONNECTING, read.version)
        async with relay.watch(SESSION) as late:
            assert (await late.first()).state is State.RECONNECTING
        await world.leases.beat(ONE, 1)
        assert await state_in(slot) == "linked"


async def test_two_hundred_reconnects_leave_one_subscription_and_nothing_grows(relay, operator):
    async with relay.watch(SESSION):
        await until(lambda: channels(operator))
        tasks = len(asyncio.all_tasks())
        for _ in range(200):
            async with relay.watch(SESSION) as slot:
                await slot.first()
        assert await channels(operator) == [keys.events(SESSION)]
        assert await operator.pubsub_numsub(keys.events(SESSION)) == [(keys.events(SESSION).encode(), 1)]
        await until(lambda: len(asyncio.all_tasks()) <= tasks)
        assert relay.sockets == 1


async def test_two_hundred_lonely_reconnects_leave_no_subscription(relay, operator):
    tasks = len(asyncio.all_tasks())
    for _ in range(200):
        async with relay.watch(SESSION) as slot:
            await slot.first()
    await until(lambda: is_empty(operator))
    assert relay.sockets == 0
    assert relay._watched == {}
    await until(lambda: len(asyncio.all_tasks()) <= tasks)


async def is_empty(operator):
    return not await channels(operator)


async def test_a_watcher_that_fails_is_forgotten_as_well(relay):
    with pytest.raises(RuntimeError):
        async with relay.watch(SESSION):
            raise RuntimeError("the socket broke")
    assert relay._watched == {}


async def test_coming_and_going_at_once_leaves_whoever_stays_subscribed(relay, world, operator):
    async def visit():
        async with relay.watch(SESSION) as slot:
            await slot.first()

    async with asyncio.TaskGroup() as visits:
        for _ in range(50):
            visits.create_task(visit())
    async with relay.watch(SESSION) as slot:
        await slot.first()
        await until(lambda: has(operator, keys.events(SESSION)))
        await world.ask()
        assert await state_in(slot) == "queued"


async def test_what_was_said_while_the_connection_was_down_is_read_afterwards(relay, world, operator):
    async with relay.watch(SESSION) as slot:
        await slot.first()
        await until(lambda: has(operator, keys.events(SESSION)))
        await operator.client_kill_filter(_type="pubsub")
        await world.ask()  # nobody of ours is subscribed, or perhaps one is: either way it must arrive
        assert await state_in(slot) == "queued"


async def test_after_every_cut_the_newest_arrives(relay, world, operator):
    lease = await world.serve()
    async with relay.watch(SESSION) as slot:
        await slot.first()
        for round_ in range(5):
            await operator.client_kill_filter(_type="pubsub")
            deadline = 10**13 + round_
            await world.snapshots.save(lease, change(State.AWAITING_PHONE, deadline=deadline))
            async with asyncio.timeout(5):
                while orjson.loads((await slot.next())[0])["snapshot"].get("deadline") != deadline:
                    pass


async def test_who_comes_while_the_listener_subscribes_is_subscribed_too(relay, operator, monkeypatch):
    other, subscribe = SessionId("company_other"), PubSub.subscribe
    sent, go_on = asyncio.Event(), asyncio.Event()

    async def slow(pubsub, *names):
        await subscribe(pubsub, *names)
        sent.set()
        await go_on.wait()

    async with relay.watch(SESSION):
        await until(lambda: has(operator, keys.events(SESSION)))
        monkeypatch.setattr(PubSub, "subscribe", slow)
        await operator.client_kill_filter(_type="pubsub")
        await sent.wait()
        async with relay.watch(other):
            go_on.set()
            await until(lambda: has(operator, keys.events(other)))


async def test_an_announcement_that_never_came_is_made_good_after_a_silence(relay, world, monkeypatch):
    monkeypatch.setattr(relay_module, "SILENCE_SECONDS", 0.2)
    monkeypatch.setattr(relay_module, "TICK_SECONDS", 0.1)
    lease = await world.serve()
    async with relay.watch(SESSION) as slot:
        await slot.first()
        # As if the announcement had been lost: only the hash changes.
        body = orjson.dumps({"state": "awaiting_phone"})
        await world.redis.hset(keys.snapshot(SESSION), mapping={"attempt": lease.token, "seq": 99, "body": body})
        while await state_in(slot) != "awaiting_phone":
            pass


async def test_a_slow_reader_does_not_delay_another_and_misses_nothing_that_matters(relay, world):
    lease = await world.serve()
    async with relay.watch(SESSION) as slow, relay.watch(SESSION) as quick:
        await slow.first()
        await quick.first()
        for deadline in range(10**13, 10**13 + 100):
            await world.snapshots.save(lease, change(deadline=deadline))
            async with asyncio.timeout(2):
                while orjson.loads((await quick.next())[0])["snapshot"].get("deadline") != deadline:
                    pass
        async with asyncio.timeout(2):
            assert orjson.loads((await slow.next())[0])["snapshot"]["deadline"] == 10**13 + 99


@pytest.mark.parametrize(
    "rubbish",
    [b"", b"rubbish", b"{}", b"[]", b'{"type":"status","attempt":1,"seq":1,"body":{"state":"no-such-state"}}', b"\xff"],
)
async def test_rubbish_on_the_channel_deafens_nobody(relay, world, operator, rubbish):
    async with relay.watch(SESSION) as slot:
        await slot.first()
        await until(lambda: has(operator, keys.events(SESSION)))
        listening = relay._pubsub
        await operator.publish(keys.events(SESSION), rubbish)
        await world.ask()
        assert await state_in(slot) == "queued"
        assert relay._pubsub is listening, "it had to begin anew"


async def test_a_newer_versions_snapshot_is_read_as_far_as_it_is_understood(relay, world, operator):
    body = orjson.dumps({"state": "connecting", "news": {"of": "tomorrow"}})
    await operator.hset(keys.snapshot(SESSION), mapping={"attempt": 5, "seq": 1, "body": body})
    async with relay.watch(SESSION) as slot:
        assert (await slot.first()).state is State.CONNECTING


async def test_a_snapshot_that_nobody_can_read_ends_the_socket_and_not_the_relay(relay, world, operator):
    await operator.hset(keys.snapshot(SESSION), mapping={"attempt": 5, "seq": 1, "body": b"rubbish"})
    async with relay.watch(SESSION) as slot, asyncio.timeout(5):
        with pytest.raises(SocketEnded):
            await slot.first()
    await operator.delete(keys.snapshot(SESSION))
    async with relay.watch(SESSION) as slot:
        assert (await slot.first()).state is State.UNLINKED
