"""Events for the integrator: what is one, how it is kept, signed, delivered, tried again, given up and sent anew."""

import base64
import hashlib
import hmac
import json
import random
import re
from pathlib import Path

import pytest

from shared.core import keys
from shared.core.clock import now_ms
from shared.core.events import Event, EventType
from shared.core.messages import NotDelivered, NotSent
from shared.core.phone import masked
from shared.core.signing import key_of, new_secret, old_signature, signed_headers
from shared.state.events import Result, Tried
from tests.unit.hooks import SECRET, put
from workers.delivery import GIVE_UP_MS, JITTER, pause_seconds

ROOT = Path(__file__).parents[2]


def test_the_signature_is_that_of_the_specification_and_changes_with_each_of_its_parts():
    body, now = b'{"id":"1"}', 1_780_000_000_123
    made = signed_headers(SECRET, "e1", now, body)
    by_hand = hmac.new(b"k" * 32, b"e1.1780000000." + body, hashlib.sha256).digest()
    assert made["webhook-signature"] == f"v1,{base64.b64encode(by_hand).decode()}"
    assert (made["webhook-id"], made["webhook-timestamp"]) == ("e1", "1780000000")
    others = {
        signed_headers(secret, name, at, text)["webhook-signature"]
        for secret, name, at, text in (
            (SECRET, "e2", now, body),
            (SECRET, "e1", now + 1000, body),
            (SECRET, "e1", now, body + b" "),
            (new_secret(), "e1", now, body),
        )
    }
    assert len({made["webhook-signature"], *others}) == 5


def test_the_older_signature_goes_beside_it():
    body, now = b"{}", 1_780_000_000_123
    made = signed_headers("an older secret", "e1", now, body)
    by_hand = hmac.new(b"an older secret", b"1780000000123." + body, hashlib.sha256).hexdigest()
    assert made["x-webhook-signature"] == old_signature("an older secret", now, body) == f"v1={by_hand}"


@pytest.mark.parametrize("secret", ["whsec_", "whsec_not base64!", "whsec_" + base64.b64encode(b"short").decode()])
def test_a_secret_that_no_library_takes_is_refused(secret):
    with pytest.raises(ValueError, match="base64"):
        key_of(secret)


def test_the_page_names_every_event_and_reason_and_shows_true_ones():
    page = (ROOT / "docs" / "webhooks.md").read_text()
    assert [kind for kind in EventType if f"| `{kind.value}` |" not in page] == []
    assert [reason for reason in (*NotSent, *NotDelivered) if f"`{reason.value}`" not in page] == []
    shown = re.findall(r"^\{.*?\}\}$", page, re.DOTALL | re.MULTILINE)
    linked, received = map(Event.model_validate_json, shown)
    assert (linked.type, linked.device.phone) == (EventType.SESSION_LINKED, masked("+79001234567"))
    assert (received.type, received.message.sender) == (EventType.MESSAGE_RECEIVED, "+79007654321")
    assert received.model_dump(mode="json", by_alias=True, exclude_none=True) == json.loads(shown[1])


# --- delivery ------------------------------------------------------------------------------------------------------------


def test_pauses_grow_from_seconds_to_an_hour_and_a_day_is_some_thirty_tries():
    longest = [pause_seconds(tries, 0.5) for tries in range(1, 60)]
    assert longest[:4] == [5, 10, 20, 40]
    assert longest == sorted(longest)
    assert max(longest) == 3600
    assert pause_seconds(10_000, 1) == 3600 * (1 + JITTER)
    tries, age = 1, 0.0
    while (age := age + longest[tries - 1]) * 1000 <= GIVE_UP_MS:
        tries += 1
    assert 30 < tries < 40


def test_pauses_of_what_failed_together_are_spread():
    chance = random.Random(1)
    pauses = [pause_seconds(3, chance.random()) for _ in range(200)]
    assert 20 * (1 - JITTER) <= min(pauses) < 17
    assert 23 < max(pauses) <= 20 * (1 + JITTER)


async def taken(shelf):
    (one,) = (await shelf.step(1)).due
    return one


async def settle(shelf, due, result, **more):
    await shelf.step(0, ended=[Tried(due, result, **more)])


async def test_of_two_takers_one_gets_the_event_until_it_has_kept_it_too_long(shelf, news, redis):
    await put(shelf, news)
    due = await taken(shelf)
    assert (due.tries, due.type, due.company) == (1, "session.linked", "salon-1")
    nothing = await shelf.step(1)
    assert nothing.due == []
    assert 25 < nothing.wait <= 30
    await redis.zadd(keys.WEBHOOKS, {"e1": now_ms() - 1})  # as if that time had passed
    assert (await taken(shelf)).tries == 2


async def test_a_delivered_event_is_forgotten_and_counted_once(shelf, news, redis):
    await put(shelf, news)
    due = await taken(shelf)
    await settle(shelf, due, Result.DELIVERED)
    await settle(shelf, due, Result.DELIVERED)
    assert await redis.keys("wa:webhook*") == []
    assert await redis.hgetall(keys.STATS) == {b'webhooks{result="delivered",type="session.linked"}': b"1"}


async def test_an_event_that_nobody_takes_is_dead_for_a_week_and_can_be_sent_anew(shelf, news, redis):
    await put(shelf, news)
    await settle(shelf, await taken(shelf), Result.GIVEN_UP, fault="status 500", dies=True)
    assert await redis.zrange(keys.WEBHOOKS, 0, -1) == []
    assert await redis.zrange(keys.DEAD_WEBHOOKS, 0, -1) == [b"e1"]
    assert 6 * keys.DAY < await redis.pttl(keys.webhook("e1")) <= keys.DEAD_TTL
    assert await redis.hget(keys.webhook("e1"), "fault") == b"status 500"
    assert await shelf.resend("e1")
    again = await taken(shelf)
    assert (again.tries, again.age < 5000) == (1, True)
    assert await redis.zcard(keys.DEAD_WEBHOOKS) == 0
    assert not await shelf.resend("unknown")


async def test_a_foreign_value_on_the_shelf_is_removed_and_the_other_events_are_delivered(shelf, news, redis):
    await redis.zadd(keys.WEBHOOKS, {b"\xff": 1, "gone": 2, "string": 3, "half": 4, "a b": 5})
    await redis.set(keys.webhook("string"), "x")
    await redis.hset(keys.webhook("half"), "type", "session.linked")
    await put(shelf, news)
    found = []
    for _ in range(3):
        found += (await shelf.step(10)).due
    assert [one.id for one in found] == ["e1"]
    assert await redis.zrange(keys.WEBHOOKS, 0, -1) == [b"e1"]
