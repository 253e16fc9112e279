"""Commands over real sockets: many clicks are one attempt, every tab sees the same, a place in the queue moves."""

import asyncio

import pytest

from app.page.relay import TICK_SECONDS
from shared.core import keys
from shared.core.clock import now_ms
from shared.core.ids import WorkerId
from shared.core.lifecycle import State
from shared.jobs.queue import link_job_id
from shared.state.snapshots import Snapshots
from tests.integration.web import API_KEY, QUEUED, SESSION, Tab, jobs
from tests.unit.world import change
from tests.waiting import until


async def test_clicks_in_two_tabs_are_one_attempt_and_both_tabs_see_it(web, redis):
    link = web.link()
    async with web.tab(link) as one, web.tab(link) as two:
        for tab in (one, two, one, two, one):
            await tab.say("request-qr")
        seen = [await tab.snapshot(state="queued") for tab in (one, two)]
        assert {(snapshot["attempt"], snapshot["seq"]) for snapshot in seen} == {(seen[0]["attempt"], 1)}
        for tab in (one, two):
            await tab.obeyed()
        assert await jobs(redis) == [link_job_id(SESSION, seen[0]["attempt"])]
        assert (await redis.hget(keys.STATS, 'attempts{method="qr"}')) == b"1"


async def test_who_comes_later_sees_where_it_stands_with_the_place_in_the_queue(web, redis):
    await redis.zadd(QUEUED, {"link:company_before:1": 1, "link:company_also-before:2": 2})
    async with web.tab() as one:
        await one.say("request-qr")
        first = await one.snapshot(state="queued")
        await one.obeyed()
        async with web.tab() as two:
            assert two.seen[0]["snapshot"]["attempt"] == first["attempt"]
            assert two.seen[0]["snapshot"]["queue"] == {"position": 2}
        await stands(one, 2)
        await redis.zrem(QUEUED, "link:company_before:1")
        await stands(one, 1)
        await redis.zrem(QUEUED, "link:company_also-before:2")
        await stands(one, 0)


async def stands(tab, position):
    """Until the tab has been told this place in the queue: it is looked at now and then, and may have been told already."""

    def is_told(message):
        return message.get("snapshot", {}).get("queue") == {"position": position}

    if not any(map(is_told, tab.seen)):
        await tab.until(is_told)


async def test_a_command_may_come_right_after_hello(web):
    async with web.connect() as socket:
        tab = Tab(socket)
        await tab.say("hello", token=web.access.sign(web.link()))
        await tab.say("request-qr")
        assert (await tab.until(lambda _: True))["type"] == "status"
        await tab.snapshot(state="queued")


@pytest.mark.parametrize("typed", ["8900", "abc123", "+1234567890123456"])
async def test_a_bad_number_is_told_with_its_field_and_starts_nothing(web, redis, typed):
    async with web.tab() as tab:
        await tab.say("request-pairing-code", phoneNumber=typed)
        assert await tab.error() == {"code": "invalid-phone", "field": "phoneNumber"}
    assert await redis.keys("wa:claim:*") == []


async def test_another_number_on_a_running_attempt_is_refused_and_the_same_joins(web):
    async with web.tab() as tab:
        await tab.say("request-pairing-code", phoneNumber="8 900 123-45-67")
        await tab.snapshot(state="queued", method="code")
        await tab.say("request-pairing-code", phoneNumber="+79007654321")
        refused = await tab.error()
        assert (refused["code"], refused["field"]) == ("in-progress", "phoneNumber")
        await tab.say("request-pairing-code", phoneNumber="9001234567")
        await tab.say("cancel")
        assert (await tab.snapshot(state="cancelled"))["attempt"] > 0
        assert [one for one in tab.seen if "error" in one] == [{"type": "error", "error": refused}]


async def test_a_link_for_one_phone_takes_no_other(web):
    async with web.tab(web.link(phone="+79001234567")) as tab:
        await tab.say("request-pairing-code", phoneNumber="+79007654321")
        assert (await tab.error())["code"] == "wrong-number"
        await tab.say("request-pairing-code", phoneNumber="89001234567")
        await tab.snapshot(state="queued")


async def test_cancelling_in_the_queue_takes_the_job_away_and_a_new_click_starts_anew(web, redis):
    async with web.tab() as tab:
        await tab.say("request-qr")
        first = await tab.snapshot(state="queued")
        await until(lambda: redis.zcard(QUEUED))
        await tab.say("cancel")
        await tab.snapshot(state="cancelled")
        await until(lambda: is_empty(redis))
        await tab.say("request-qr")
        assert (await tab.snapshot(state="queued"))["attempt"] > first["attempt"]


async def test_a_cancel_is_done_although_its_tab_is_closed_with_it(web, redis, operator):
    async with web.tab() as tab:
        await tab.say("request-qr")
        attempt = (await tab.snapshot(state="queued"))["attempt"]
        await until(lambda: redis.zcard(QUEUED))
        await redis.zadd(QUEUED, {"link:somebody:1": 1})  # web will tell the tab of its new place, and find it gone
        # The cancel waits for Redis until after that.
        await operator.client_pause(round(1.75 * TICK_SECONDS * 1000), all=False)
        await tab.say("cancel")
    await until(lambda: is_cancelled(redis, attempt))


async def is_cancelled(redis, attempt):
    state = (await Snapshots(redis).read(SESSION)).body.state
    return state is State.CANCELLED and await redis.zscore(QUEUED, link_job_id(SESSION, attempt)) is None


async def is_empty(redis):
    return await redis.zcard(QUEUED) == 0


async def test_a_command_for_what_a_worker_serves_goes_to_that_worker(web, redis, world):
    async with web.tab() as tab:
        await tab.say("request-qr")
        attempt = (await tab.snapshot(state="queued"))["attempt"]
        lease = await world.leases.acquire(SESSION, WorkerId("w1"), attempt=attempt)
        await world.lead(lease, State.AWAITING_PHONE)
        await tab.snapshot(state="awaiting_phone")
        await tab.say("request-pairing-code", phoneNumber="89001234567")
        await tab.say("cancel")
        mine = keys.queue_worker(WorkerId("w1"))
        await until(lambda: has_two(redis, mine))
        assert set(await jobs(redis, mine)) == {f"code:{SESSION}:{attempt}", f"cancel:{SESSION}:{attempt}"}


async def has_two(redis, queue):
    return await redis.zcard(queue) == 2


async def test_a_command_that_changes_nothing_is_answered_to_the_one_who_sent_it(web, world):
    async with web.tab() as one, web.tab() as other:

        async def says(kind, **fields):
            """The same once more, and to nobody else."""
            before = one.seen[-1]["snapshot"]
            await one.say(kind, **fields)
            again = await one.until(lambda _: True)
            assert again["type"] == "status"
            assert (again["snapshot"]["attempt"], again["snapshot"]["seq"]) == (before["attempt"], before["seq"])

        await says("cancel")
        await one.say("request-pairing-code", phoneNumber="89001234567")
        asked = await one.snapshot(state="queued")
        await says("request-qr")
        await says("request-pairing-code", phoneNumber="+7 900 123-45-67")
        lease = await world.leases.acquire(SESSION, WorkerId("w1"), attempt=asked["attempt"])
        await world.lead(lease, State.LINKING)
        await world.lead(lease, State.LINKED)
        await one.snapshot(state="linked")
        await says("request-qr")
        await says("cancel")
        await world.snapshots.save(lease, change(State.RECONNECTING))
        await other.snapshot(state="reconnecting")
        assert [seen["snapshot"]["state"] for seen in other.seen].count("linked") == 1


@pytest.mark.parametrize(
    ("switch", "code"),
    [("pause", "paused"), ("qr-only", "code-not-available"), ("region:RU", "code-not-available")],
)
async def test_a_switch_is_obeyed_at_once(web, redis, switch, code):
    async with web.tab() as tab:
        await redis.hset(keys.SWITCH, switch, "on")
        await tab.say("request-pairing-code", phoneNumber="89001234567")
        assert (await tab.error())["code"] == code
        await redis.hdel(keys.SWITCH, switch)
        await tab.say("request-pairing-code", phoneNumber="89001234567")
        await tab.snapshot(state="queued")


async def test_where_a_device_is_linked_a_click_starts_nothing(web, redis, world):
    lease = await world.leases.acquire(SESSION, WorkerId("w1"))
    await world.snapshots.save(lease, change(State.LINKED))
    async with web.tab() as tab:
        assert tab.seen[0]["snapshot"]["state"] == "linked"
        await tab.say("request-qr")
        await tab.say("cancel")
        await tab.connection.ping()
        await tab.say("request-pairing-code", phoneNumber="8900")
        assert (await tab.error())["code"] == "invalid-phone"
    assert await redis.exists(keys.claim(SESSION)) == 0


async def test_sessions_do_not_see_each_other(web):
    async with web.tab(web.link("a")) as one, web.tab(web.link("b")) as two:
        await one.say("request-qr")
        await one.snapshot(state="queued", sessionId="company_a")
        await two.say("request-qr")
        await two.snapshot(state="queued", sessionId="company_b")
        assert {message["snapshot"]["sessionId"] for message in two.seen} == {"company_b"}


async def test_two_hundred_reconnects_of_one_page_leave_nothing_behind(web, redis, operator):
    link = web.link()
    async with web.tab(link) as stays:
        for _ in range(200):
            async with web.tab(link):
                pass
        assert await operator.pubsub_numsub(keys.events(SESSION)) == [(keys.events(SESSION).encode(), 1)]
        async with web.http(API_KEY) as http:
            await until(lambda: has_sockets(http, 1))
        await stays.say("request-qr")
        await stays.snapshot(state="queued")
    async with web.http(API_KEY) as http:
        await until(lambda: has_sockets(http, 0))
    await until(lambda: nobody_listens(operator))


async def has_sockets(http, count):
    return f"wa_sockets {count}.0" in (await http.get("/metrics")).text


async def nobody_listens(operator):
    return await operator.pubsub_channels("wa:events:*") == []


async def test_a_tab_that_does_not_read_delays_nobody(web, world):
    lease = await world.leases.acquire(SESSION, WorkerId("w1"))
    big = {"text": "x", "svg": "x" * 200_000, "number": 1, "of": 6, "expires_at": 1}
    async with web.connect(max_queue=1, close_timeout=0.2) as deaf, web.tab() as quick:
        await deaf.send(f'{{"type":"hello","token":"{web.access.sign(web.link())}"}}')
        soon = now_ms() + 10**6
        for deadline in range(soon, soon + 30):
            await world.snapshots.save(lease, change(State.AWAITING_PHONE, qr=big, deadline=deadline))
            async with asyncio.timeout(3):
                await quick.snapshot(deadline=deadline)
