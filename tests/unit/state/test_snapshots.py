"""The snapshot is saved, announced, written into the timeline and counted in one step, or not at all."""

import orjson
import pytest

from shared.core import keys
from shared.core.clock import now_ms
from shared.core.lifecycle import State
from shared.core.protocol import Body, MessageType, ServerMessage
from shared.state.snapshots import Change, Forgotten, Stored, announced, nothing
from tests.unit.world import ONE, OTHER, SESSION, Ear, change


async def test_of_an_unknown_session_the_snapshot_says_unlinked(world):
    stored = await world.snapshots.read(SESSION)
    assert stored == nothing(SESSION)
    assert (stored.version, stored.body.state) == ((0, 0), State.UNLINKED)


async def test_a_saved_snapshot_is_read_and_announced_unchanged(world):
    async with Ear(world.redis) as ear:
        lease = await world.serve()
        body = Body(state=State.AWAITING_PHONE, deadline=5)
        seq = await world.snapshots.save(
            lease, Change(body, MessageType.QR_UPDATE, "qr.shown", "1", ("qr_codes_shown",))
        )
        stored = await world.snapshots.read(SESSION)
        last = (await ear.heard())[-1]
    assert stored == Stored(SESSION, lease.token, seq, body)
    assert (last["type"], last["attempt"], last["seq"]) == ("qr-update", lease.token, seq)
    assert last["body"] == {"state": "awaiting_phone", "deadline": 5}
    assert await world.redis.hget(keys.STATS, "qr_codes_shown") == b"1"
    newest = orjson.loads((await world.redis.lrange(keys.timeline(SESSION), -1, -1))[0])
    assert abs(newest.pop("at") - now_ms()) < 5000
    assert newest == {"attempt": lease.token, "event": "qr.shown", "detail": "1"}


async def test_an_announcement_is_read_as_what_was_saved(world):
    pubsub = world.redis.pubsub(ignore_subscribe_messages=True)
    await pubsub.subscribe(keys.events(SESSION))
    await pubsub.get_message(timeout=1)
    asked = await world.ask()
    message = await pubsub.get_message(timeout=1)
    kind, stored, body = announced(SESSION, message["data"])
    assert (kind, stored) == (MessageType.STATUS, await world.snapshots.read(SESSION))
    assert stored.version == (asked.attempt, 1)
    told = ServerMessage.model_validate_json(stored.text(kind, body, 7))
    assert told.snapshot == stored.snapshot(queue_position=7).model_copy(
        update={"server_now": told.snapshot.server_now}
    )
    await pubsub.aclose()


async def test_seq_counts_within_an_attempt_and_begins_anew_with_the_next(world):
    lease = await world.serve()
    assert [await world.snapshots.save(lease, change()) for _ in range(3)] == [3, 4, 5]
    newer = await world.leases.advance(lease)
    assert [await world.snapshots.save(newer, change()) for _ in range(2)] == [1, 2]


async def made_stale(world, how):
    """A lease with which nothing may be written any more."""
    lease = await world.serve()
    match how:
        case "lapsed":
            await world.lapse()
        case "taken over":
            await world.lapse()
            await world.leases.acquire(SESSION, OTHER)
        case "given back":
            await world.leases.release(lease)
        case "advanced":
            await world.leases.advance(lease)
        case "forgotten":
            await world.redis.delete(keys.lease(SESSION))
        case "newer attempt":
            await world.redis.hincrby(keys.snapshot(SESSION), "attempt", 1)
    return lease


@pytest.mark.parametrize("how", ["lapsed", "taken over", "given back", "advanced", "forgotten", "newer attempt"])
async def test_a_stale_writer_changes_nothing_and_tells_nobody(world, how):
    lease = await made_stale(world, how)
    before = await world.everything()
    async with Ear(world.redis) as ear:
        assert await world.snapshots.save(lease, change(State.FAILED, ending=True, counters=("failures",))) is None
        assert await ear.heard() == []
    assert await world.everything() == before


async def test_a_redis_that_was_emptied_takes_nothing_before_the_lease_is_taken_again(world, pass_ms):
    lease = await world.serve()
    await world.redis.flushall()
    pass_ms(1)
    async with Ear(world.redis) as ear:
        with pytest.raises(Forgotten):
            await world.snapshots.save(lease, change(State.FAILED, ending=True, counters=("failures",)))
        assert await ear.heard() == []
    assert await world.everything() == {}
    retaken = await world.leases.acquire(SESSION, ONE)
    assert await world.snapshots.save(lease, change()) is None
    assert await world.snapshots.save(retaken, change()) == 1


async def test_an_ending_frees_the_claim_and_forgets_the_phone_and_nothing_else_does(world):
    lease = await world.serve()
    await world.snapshots.save(lease, change())
    assert await world.redis.exists(keys.claim(SESSION), keys.subject(SESSION)) == 2
    await world.snapshots.save(lease, change(State.FAILED, ending=True))
    assert await world.redis.exists(keys.claim(SESSION), keys.subject(SESSION)) == 0


async def test_every_key_but_counters_and_the_queue_expires(world):
    lease = await world.serve()
    await world.snapshots.save(lease, change(counters=("linked",)))
    await world.leases.beat(ONE, 1)
    await world.leases.keep_names(ONE, [lease])
    everlasting = {key.decode() for key in await world.redis.keys("*") if await world.redis.pttl(key) == -1}
    assert everlasting == {keys.fence(SESSION), keys.STATS, keys.QUEUE_LINKING}


async def test_the_snapshot_of_a_held_session_never_expires(world):
    lease = await world.serve()
    for name in (keys.snapshot(SESSION), keys.timeline(SESSION)):
        await world.redis.pexpire(name, 1000)
    await world.leases.keep_names(ONE, [lease])
    assert await world.redis.pttl(keys.snapshot(SESSION)) > keys.SNAPSHOT_TTL - 1000
    assert await world.redis.pttl(keys.timeline(SESSION)) > keys.TIMELINE_TTL - 1000


async def test_the_timeline_does_not_grow_without_end(world):
    lease = await world.serve()
    for _ in range(2 * keys.TIMELINE_LENGTH + 1):
        await world.snapshots.save(lease, change())
    assert await world.redis.llen(keys.timeline(SESSION)) == keys.TIMELINE_LENGTH


async def test_a_foreign_value_in_place_of_the_timeline_is_thrown_away(world):
    """As the stream of an older version of us."""
    lease = await world.serve()
    await world.redis.delete(keys.timeline(SESSION))
    await world.redis.xadd(keys.timeline(SESSION), {"event": "of old"})
    assert await world.snapshots.save(lease, change())
    assert await world.redis.llen(keys.timeline(SESSION)) == 1


@pytest.mark.parametrize("text", ['"', "\\", "\n", "%", "]]", "'; redis.call('FLUSHALL')", "ü🙂", "\x00", "</script>"])
async def test_no_text_in_a_body_can_break_the_announcement(world, text):
    async with Ear(world.redis) as ear:
        lease = await world.serve()
        device = {"phone": "+7", "name": text, "linked_at": 1}
        await world.lead(lease, State.LINKED)
        await world.snapshots.save(lease, change(State.LINKED, device=device))
        heard = (await ear.heard())[-1]
    stored = await world.snapshots.read(SESSION)
    assert stored.body.device is not None
    assert heard["body"]["device"]["name"] == stored.body.device.name == text


def test_a_stored_snapshot_is_stamped_on_its_way_out_and_may_say_its_place():
    stored = Stored(SESSION, 5, 6, Body(state=State.QUEUED))
    snapshot = stored.snapshot(queue_position=0)
    assert snapshot.queue is not None
    assert (snapshot.attempt, snapshot.seq, snapshot.queue.position) == (5, 6, 0)
    assert snapshot.server_now > 0
    assert stored.snapshot().queue is None


async def test_a_change_that_is_said_again_because_its_answer_was_lost_is_saved_and_counted_once(world):
    lease = await world.serve()
    said = change(counters=("verified",))
    first = await world.snapshots.save(lease, said)
    async with Ear(world.redis) as ear:
        assert await world.snapshots.save(lease, said) == first
        assert await ear.heard() == []
    assert await world.redis.hget(keys.STATS, "verified") == b"1"
    assert await world.snapshots.save(lease, change(counters=("verified",))) == first + 1
    assert await world.redis.hget(keys.STATS, "verified") == b"2"
