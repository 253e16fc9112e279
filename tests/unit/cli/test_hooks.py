"""`onboarding webhooks`: an operator sees what a receiver has not taken, and has it sent anew; as the API does."""

import io
from typing import Any

import pytest
from pydantic import HttpUrl, SecretStr
from rich.console import Console

from app.cli import hooks
from app.cli.terminal import Cannot, Operator
from shared.core import keys
from shared.core.clock import now_ms
from shared.core.events import EventType
from shared.core.ids import company_of
from shared.settings import Settings
from shared.state.events import HELD_MS, EventShelf, News, Result, Tried
from tests.unit.world import SESSION

COMPANY = company_of(SESSION)
EVENT = "0123456789abcdef01234567"
SETTINGS = Settings(
    secret_key=SecretStr("k" * 40),
    api_keys=(SecretStr("an-api-key-of-the-tests"),),
    webhook_url=HttpUrl("https://hooks.example/"),
    webhook_secret=(SecretStr("s" * 40),),
)


def shown(output):
    out = io.StringIO()
    output.show(Console(file=out, width=160, highlight=False))
    return out.getvalue()


async def listed(op, standing="waiting"):
    output: Any = await hooks.deliveries(op, standing=standing)
    return output.data


@pytest.fixture
def op(redis):
    return Operator(redis, SETTINGS, Console(file=io.StringIO(), width=160), may_sign=True)


@pytest.fixture
async def shelf(redis):
    """With one event that waits: its receiver has answered 500 once."""
    news = News(SETTINGS.told_events)
    shelf = EventShelf(redis, news)
    await shelf.put(SESSION, news.event(SESSION, EventType.SESSION_UNLINKED, {}, event_id=EVENT))
    (due,) = (await shelf.step(1)).due
    await shelf.step(0, ended=[Tried(due, Result.RETRIED, fault="status 500", pause_ms=60_000)])
    return shelf


async def die(redis, shelf):
    await redis.zadd(keys.WEBHOOKS, {EVENT: now_ms()})
    (due,) = (await shelf.step(1)).due
    await shelf.step(0, ended=[Tried(due, Result.GIVEN_UP, fault="status 410", dies=True)])


async def did(redis):
    return [(entry[b"event"], entry[b"what"], entry[b"by"]) for _, entry in await redis.xrange(keys.OPERATORS)]


async def test_a_waiting_event_is_listed_with_its_next_try_and_its_fault(moment, op, shelf):
    (one,) = await listed(op)
    output = await hooks.deliveries(op, standing="waiting")
    assert (one["id"], one["type"], one["company"], one["tries"]) == (EVENT, "session.unlinked", COMPANY, 1)
    assert one["fault"] == "status 500"
    assert 0 < one["next_at"] - moment <= 60_000
    assert all(word in shown(output) for word in (EVENT, "session.unlinked", "status 500", "next try"))
    assert await listed(op, "dead") == []


async def test_an_event_is_shown_with_its_body(op, shelf):
    output: Any = await hooks.show(op, event=EVENT)
    assert f'"companyId":"{COMPANY}"' in output.data["body"]
    assert "waiting, 1 tries" in shown(output)
    with pytest.raises(Cannot, match="No event 'nothing' waits or is dead"):
        await hooks.show(op, event="nothing")


async def test_a_dead_event_is_listed_for_a_week_and_sent_anew_by_name(op, redis, shelf):
    await die(redis, shelf)
    (one,) = await listed(op, "dead")
    assert (one["id"], one["fault"]) == (EVENT, "status 410")
    assert keys.DAY * 6 < await redis.pttl(keys.webhook(EVENT)) <= keys.DAY * 7
    assert "dead" in shown(await hooks.show(op, event=EVENT))
    output = await hooks.resend(op, event=EVENT, by="anna@laptop")
    assert f"{EVENT} is sent now" in shown(output)
    assert await listed(op, "dead") == []
    (due,) = (await shelf.step(1)).due
    assert (due.id, due.tries) == (EVENT, 1), "with a day before it, as if it were new"
    assert await did(redis) == [(b"webhook.resent", EVENT.encode(), b"anna@laptop")]


async def test_an_event_that_was_taken_is_sent_again_out_of_the_feed(op, redis, shelf):
    await redis.zadd(keys.WEBHOOKS, {EVENT: now_ms()})
    (due,) = (await shelf.step(1)).due
    await shelf.step(0, ended=[Tried(due, Result.DELIVERED)])
    assert await listed(op) == []
    await hooks.resend(op, event=EVENT, by="anna@laptop")
    (again,) = (await shelf.step(1)).due
    assert again.body == due.body
    with pytest.raises(Cannot, match="neither waiting, nor dead"):
        await hooks.resend(op, event="nothing", by="anna@laptop")
    assert len(await did(redis)) == 1, "what was not done is not on record"


async def test_a_test_goes_to_the_companys_receiver_and_is_on_record(op, redis, shelf):
    output: Any = await hooks.test(op, company=SESSION, by="anna@laptop")
    event = output.data["event"]
    assert f"onboarding webhooks show {event}" in shown(output)
    (due,) = (await shelf.step(1)).due
    assert (due.id, due.type, due.company) == (event, "webhook.test", COMPANY)
    assert await did(redis) == [(b"webhook.tested", event.encode(), b"anna@laptop")]


async def test_without_a_receiver_there_is_nothing_to_test(redis):
    alone = SETTINGS.model_copy(update={"webhook_url": None})
    op = Operator(redis, alone, Console(file=io.StringIO()), may_sign=True)
    with pytest.raises(Cannot, match="has no receiver: set WEBHOOK_URL"):
        await hooks.test(op, company=SESSION, by="anna@laptop")
    assert await redis.zcard(keys.WEBHOOKS) == 0


async def test_an_event_that_a_worker_is_delivering_is_still_listed(moment, op, redis, shelf):
    await redis.zadd(keys.WEBHOOKS, {EVENT: moment})
    await shelf.step(10)
    (one,) = await listed(op)
    assert one["next_at"] == moment + HELD_MS
