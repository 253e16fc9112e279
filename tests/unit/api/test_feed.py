"""The feed is taken up where it broke off; the list of companies leaves none out; webhooks are looked at and sent anew."""

import asyncio

import pytest

from app.api.feed import Feed
from shared.core import keys
from shared.core.events import EventType
from shared.core.ids import CompanyId, SessionId
from shared.core.lifecycle import State
from shared.core.protocol import Method
from shared.core.signing import new_secret
from shared.state.claims import Subject, queued
from shared.state.events import EventShelf, News, Result, Tried
from shared.state.receivers import Receivers
from tests.unit.api.config import CONFIG
from tests.unit.world import ONE, SESSION, change

RECEIVER = "/api/v1/companies/salon-1/webhook"


async def begin(world, company):
    subject = Subject("L", 2**53)
    await world.claims.request(SessionId(f"company_{company}"), subject, queued(Method.QR, "attempt.requested"))


# --- the feed ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def feed(redis):
    return Feed(redis)


async def read(feed, last, count, *, gap=False):
    """So many events of a stream, as (place, kind)."""
    stream, found = feed._stream(last, gap=gap), []
    async with asyncio.timeout(20):
        async for text in stream:
            if text.startswith(b"id: "):
                place, kind, _ = text.decode().split("\n", 2)
                found.append((place.removeprefix("id: "), kind.removeprefix("event: ")))
            if len(found) == count:
                break
    await stream.aclose()
    return found


async def test_a_stream_goes_on_behind_the_last_event_that_was_seen_and_misses_none(feed, world):
    for company in ("a", "b", "c"):
        await begin(world, company)
    first, second, third = await read(feed, "0-0", 3)
    assert [kind for _, kind in (first, second, third)] == ["onboarding.started"] * 3
    assert await read(feed, first[0], 2) == [second, third]


async def test_what_happens_while_a_stream_is_read_comes_at_once(feed, world, monkeypatch):
    monkeypatch.setattr("app.api.feed.QUIET_SECONDS", 60)
    reading = asyncio.create_task(read(feed, "0-0", 1))
    while not feed._readers:
        await asyncio.sleep(0)
    await begin(world, "a")
    feed.call()
    assert [kind for _, kind in await reading] == ["onboarding.started"]
    assert feed._readers == 0


async def test_a_stream_ends_when_the_process_stops(feed):
    reading = asyncio.create_task(read(feed, "0-0", 1))
    while not feed._readers:
        await asyncio.sleep(0)
    feed.close()
    assert await reading == []


@pytest.mark.parametrize("last", ["x", "1", "1-", "-1-0", "1-1\r\nx: y", "9" * 40 + "-0"])
async def test_a_malformed_last_event_id_is_refused(web, last):
    answer = await web.get("/api/v1/events", headers={"last-event-id": last.encode()})
    assert answer.status_code in {400, 422}


# --- the list ------------------------------------------------------------------------------------------------------------


async def listed(web, **params):
    """All pages, one after the other."""
    found, cursor = [], None
    for _ in range(100):
        answer = await web.get("/api/v1/companies", params=params | ({"cursor": cursor} if cursor else {}))
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert len(page["companies"]) <= params.get("limit", 50)
        found += [one["sessionId"].removeprefix("company_") for one in page["companies"]]
        cursor = page.get("next")
        if cursor is None:
            return found
    raise AssertionError("it does not end")


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 200])
async def test_every_company_is_listed_once_whatever_the_limit(web, world, limit):
    names = ["a", "b", "c", "d.1", "Z_9"]
    for company in names:
        await begin(world, company)
    assert await listed(web, limit=limit) == sorted(names)


async def test_the_list_can_be_of_one_state_and_says_no_secrets(web, world):
    for company in ("a", "b", "salon-1"):
        await begin(world, company)
    lease = await world.leases.acquire(SESSION, ONE)
    await world.snapshots.save(lease, change(State.CONNECTING))
    for limit in (1, 2, 50):
        assert await listed(web, state="connecting", limit=limit) == ["salon-1"]
        assert await listed(web, state="queued", limit=limit) == ["a", "b"]
    assert await listed(web, state="linked") == []


async def test_odd_names_in_the_index_are_struck_and_hide_nobody(web, world, redis):
    await begin(world, "a")
    await redis.zadd(keys.SESSIONS, {b"\xff": 0, "": 0, "company_": 0, "company_../x": 0, "company_gone": 0})
    assert await listed(web, limit=1) == ["a"]
    assert await redis.zrange(keys.SESSIONS, 0, -1) == [b"company_a"]


@pytest.mark.parametrize("params", [{"state": "x"}, {"limit": 0}, {"limit": 201}, {"cursor": "../x"}, {"limit": "1e1"}])
async def test_a_malformed_query_is_refused(web, params):
    assert (await web.get("/api/v1/companies", params=params)).status_code == 422


# --- webhooks ------------------------------------------------------------------------------------------------------------


async def test_a_companys_receiver_is_set_shown_without_its_secret_and_taken_back(web, redis):
    made = await web.put(RECEIVER, json={"url": "https://hooks.example/in", "events": ["session.linked"]})
    assert made.json()["secret"].startswith("whsec_")
    known = await Receivers(CONFIG, redis).own(CompanyId("salon-1"))
    assert (known.url, known.secret, known.wants("session.linked"), known.wants("session.dropped")) == (
        "https://hooks.example/in",
        made.json()["secret"],
        True,
        False,
    )
    shown = (await web.get(RECEIVER)).json()
    assert shown == {"url": "https://hooks.example/in", "events": ["session.linked"]}
    for _ in range(2):
        assert (await web.delete(RECEIVER)).status_code == 204
    assert (await web.get(RECEIVER)).status_code == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"url": "http://127.0.0.1/"}, "url"),
        ({"url": "http://localhost/"}, "url"),
        ({"url": "http://[::1]/"}, "url"),
        ({"url": "http://[::ffff:169.254.169.254]/"}, "url"),
        ({"url": "http://169.254.169.254/latest/meta-data"}, "url"),
        ({"url": "http://2130706433/"}, "url"),
        ({"url": "http://0x7f.1/"}, "url"),
        ({"url": "https://user:secret@hooks.example/"}, "url"),
        ({"url": "ftp://hooks.example/"}, "url"),
        ({"url": "hooks.example"}, "url"),
        ({"url": "https://hooks.example/", "secret": "short"}, "secret"),
        ({"url": "https://hooks.example/", "secret": "whsec_no base64 at all"}, "secret"),
        ({"url": "https://hooks.example/", "events": ["session.unknown"]}, "events.0"),
    ],
)
async def test_a_receiver_at_a_forbidden_address_is_refused(web, redis, body, field):
    answer = await web.put(RECEIVER, json=body)
    assert (answer.status_code, answer.json().get("field")) == (422, field), answer.text
    assert await redis.keys("wa:receiver:*") == []


async def test_waiting_and_dead_events_are_listed_and_sent_anew(web, redis):
    news = News(tuple(EventType))
    shelf = EventShelf(redis, news)
    await shelf.put(SESSION, news.event(SESSION, EventType.SESSION_LINKED, {}, event_id="e1"))
    (waits,) = (await web.get("/api/v1/webhooks")).json()["deliveries"]
    assert (waits["event"]["id"], waits["state"], waits["tries"]) == ("e1", "waiting", 0)
    (due,) = (await shelf.step(1)).due
    await shelf.step(0, ended=[Tried(due, Result.GIVEN_UP, fault="status 500", dies=True)])
    (dead,) = (await web.get("/api/v1/webhooks", params={"state": "dead"})).json()["deliveries"]
    assert (dead["fault"], dead["state"]) == ("status 500", "dead")
    assert (await web.post("/api/v1/webhooks/e1/resend")).status_code == 202
    assert (await web.get("/api/v1/webhooks/e1")).json()["state"] == "waiting"
    assert await redis.zcard(keys.DEAD_WEBHOOKS) == 0


async def test_what_somebody_has_written_is_shown_to_its_receiver_alone(web, redis):
    news = News(tuple(EventType))
    shelf = EventShelf(redis, news)
    message = {"id": "m", "kind": "text", "chat": "+79007654321", "from": "+79007654321", "own": False, "at": 1}
    about = {"message": message | {"name": "Ada", "text": "canary"}, "lost": 3}
    told = news.event(SESSION, EventType.MESSAGE_RECEIVED, about, event_id="e1")
    await shelf.put(SESSION, told | {"unfed": True})
    shown = [(await web.get(path)).text for path in ("/api/v1/webhooks", "/api/v1/webhooks/e1")]
    assert [one for one in shown if "canary" in one or "7654321" in one or "Ada" in one or '"lost":3' not in one] == []
    assert b"canary" in (await shelf.step(1)).due[0].body


async def test_an_event_that_was_taken_is_sent_anew_from_the_feed_as_it_was(web, redis):
    news = News(tuple(EventType))
    shelf = EventShelf(redis, news)
    failure = {"code": "connection-failed", "retryable": True}
    told = news.event(SESSION, EventType.ONBOARDING_FAILED, {"failure": failure}, event_id="e1")
    await shelf.put(SESSION, told | {"version": {"attempt": 7, "seq": 9}})
    body = await redis.hget(keys.webhook("e1"), "body")
    (due,) = (await shelf.step(1)).due
    await shelf.step(0, ended=[Tried(due, Result.DELIVERED)])
    assert (await web.post("/api/v1/webhooks/e1/resend")).status_code == 202
    assert await redis.hget(keys.webhook("e1"), "body") == body
    assert await redis.xlen(keys.FEED) == 1, "it has not happened twice"


async def test_a_test_goes_to_the_companys_receiver_once_under_its_key(web, redis):
    await Receivers(CONFIG, redis).put(CompanyId("salon-1"), "https://hooks.example/", new_secret(), None)
    body, headers = {"companyId": "salon-1"}, {"idempotency-key": "k"}
    first, again = [await web.post("/api/v1/webhooks/test", json=body, headers=headers) for _ in range(2)]
    assert first.json() == again.json()
    assert await redis.zcard(keys.WEBHOOKS) == 1
    assert await redis.xlen(keys.FEED) == 0
