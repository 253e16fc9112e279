"""What the integrator's server hears of a company, from the click to the log-out."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from standardwebhooks import Webhook

from app.local.redis import LocalRedis
from emulator.client import Emulator
from shared.core import keys
from shared.core.signing import signed_headers
from shared.state.events import HELD_MS
from tests.e2e.stack import Stack
from tests.receiver import HANG, Receiver
from tests.waiting import until

pytestmark = [pytest.mark.asyncio(loop_scope="session")]

SECRET = "whsec_" + "aG9sZCB0aGlzIGFuZCBzaWduIHdpdGggaXQgMTIz"


@pytest_asyncio.fixture(loop_scope="session")
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver.running() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def told(emulator: Emulator, own_redis: LocalRedis, folder: Path, receiver: Receiver) -> AsyncIterator[Stack]:
    """A service that tells the receiver."""
    hooks: dict[str, Any] = {"WEBHOOK_URL": receiver.url, "WEBHOOK_SECRET": SECRET}
    async with Stack.running(emulator, own_redis.url, folder, quiet=True, **hooks) as stack:
        yield stack


def of(kind: str, company: str):
    return lambda event: event["type"] == kind and event["companyId"] == company


async def say(stack: Stack, company: str, to: str = "+79161234567") -> str:
    """Send a text; the message's id."""
    answer = await stack.http.post(f"/api/v1/companies/{company}/messages", json={"to": to, "text": "You are booked."})
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


async def test_linked_a_message_sent_and_dropped_are_told_signed_and_without_a_phone(
    told: Stack, receiver: Receiver
) -> None:
    link, number = await told.linked()
    linked = await receiver.event(of("session.linked", link["company"]))
    stamp = int(linked.headers["x-webhook-timestamp"])
    signed = signed_headers(SECRET, linked.event["id"], stamp, linked.body)
    assert {name: linked.headers[name] for name in signed} == signed
    assert Webhook(SECRET).verify(linked.body, linked.headers) == linked.event, "by the specification's own library"
    assert linked.event["linkId"] == link["id"]
    shown = await told.company(link)
    assert linked.event["device"] | {"phone": number} == shown["device"], "who may know the number is told by the API"
    assert linked.event["device"]["phone"] != number
    assert linked.event["sessionId"] == link["session"]
    await told.worker.said("session.logged-in", session=link["session"])
    message = await say(told, link["company"])
    sent = await receiver.event(of("message.sent", link["company"]))
    assert sent.event["messageId"] == message
    await told.emulator.phone(number).logout()
    dropped = await receiver.event(of("session.dropped", link["company"]))
    assert dropped.event["failure"]["code"] == "dropped-after-linking"
    for one in receiver.received:
        assert number[1:] not in one.body.decode()
        assert "79161234567" not in one.body.decode()
        assert "booked" not in one.body.decode()
    ids = [one.event["id"] for one in receiver.received]
    assert len(ids) == len(set(ids))
    kinds = [one.event["type"] for one in receiver.received if one.event["companyId"] == link["company"]]
    wanted = {"onboarding.started", "session.linked", "message.sent", "session.dropped"}
    assert set(kinds) - {"message.delivered"} == wanted


async def test_a_log_out_by_the_api_is_told_as_unlinked(told: Stack, receiver: Receiver) -> None:
    link, _ = await told.linked()
    assert (await told.http.delete(f"/api/v1/companies/{link['company']}/session")).status_code == 202
    unlinked = await receiver.event(of("session.unlinked", link["company"]))
    assert "failure" not in unlinked.event


async def test_a_message_that_whatsapp_refuses_is_told_as_failed(told: Stack, receiver: Receiver) -> None:
    link, number = await told.linked()
    await told.worker.said("session.logged-in", session=link["session"])
    await told.emulator.arm("message-refused", phone=number.lstrip("+"), status=463)
    message = await say(told, link["company"])
    failed = await receiver.event(of("message.failed", link["company"]), seconds=60)
    assert failed.event["messageId"] == message
    assert failed.event["reason"] == "refused"


@pytest.mark.slow
async def test_a_device_that_outlives_the_dwell_is_told_as_verified(told: Stack, receiver: Receiver) -> None:
    link, number = await told.linked()
    verified = await receiver.event(of("session.verified", link["company"]), seconds=80)
    assert verified.event["device"] | {"phone": number} == (await told.company(link))["device"]


async def test_an_event_outlives_the_worker_that_was_killed_while_the_receiver_hung(
    told: Stack, receiver: Receiver
) -> None:
    receiver.answers = [HANG]
    link, _ = await told.linked()
    first = await receiver.event(of("onboarding.started", link["company"]))
    await receiver.event(of("session.linked", link["company"]))
    await told.worker.kill()
    waiting = await told.redis.zrange(keys.WEBHOOKS, 0, -1, withscores=True)
    ((event, due),) = [one for one in waiting if one[0].decode() == first.event["id"]]
    await told.redis.zadd(keys.WEBHOOKS, {event: due - HELD_MS})  # as if so much time had passed
    await told.start_worker()
    await until(lambda: len([one for one in receiver.received if one.body == first.body]) == 2)


async def test_linking_waits_for_no_receiver(told: Stack, receiver: Receiver) -> None:
    receiver.then = HANG
    for _ in range(3):
        link, _ = await told.linked()
        await told.worker.said("session.logged-in", session=link["session"])
    assert await told.redis.zcard(keys.WEBHOOKS) == 6, "three that started, three that linked"
