"""What becomes of a text at the receiver's phone, and what comes in, as the integrator is told: all of it real."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from app.local.redis import LocalRedis
from emulator.client import Emulator
from emulator.client_phone import Phone
from shared.core import keys
from shared.core.ids import SessionId
from shared.jobs.queue import client, enqueue
from shared.state.outbox import CONFIRM_MS, DOUBT_MS
from tests.e2e.stack import Stack, new_number
from tests.receiver import Receiver
from tests.waiting import until

pytestmark = [pytest.mark.asyncio(loop_scope="session")]

EVENTS = "message.sent message.failed message.delivered message.read message.undelivered message.received"


@pytest_asyncio.fixture(loop_scope="session")
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver.running() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def told(emulator: Emulator, own_redis: LocalRedis, folder: Path, receiver: Receiver) -> AsyncIterator[Stack]:
    """A service that tells the receiver of messages, both ways."""
    async with Stack.running(
        emulator,
        own_redis.url,
        folder,
        quiet=True,
        WEBHOOK_URL=receiver.url,
        WEBHOOK_SECRET="the integrator's own secret",
        WEBHOOK_EVENTS=EVENTS,
        MAX_RATE="0",
    ) as stack:
        yield stack


def person(stack: Stack) -> Phone:
    return stack.emulator.phone(new_number().lstrip("+"))


class Company:
    """A linked company that writes to people, and what is told of that."""

    def __init__(self, stack: Stack, receiver: Receiver, name: str, number: str) -> None:
        self.stack, self.receiver, self.name, self.number = stack, receiver, name, number
        self.session = SessionId(f"company_{name}")

    async def says(self, to: Phone) -> str:
        """A text; its id."""
        body = {"to": f"+{to.number}", "text": "You are booked."}
        answer = await self.stack.http.post(f"/api/v1/companies/{self.name}/messages", json=body)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    async def stands(self, message: str) -> dict[str, Any]:
        found: dict[str, Any] = (await self.stack.http.get(f"/api/v1/companies/{self.name}/messages/{message}")).json()
        return found

    async def ends(self, message: str, state: str) -> dict[str, Any]:
        """The event of a step of a text. If it is the last, the API says the same."""
        kind = f"message.{state}"
        event = (
            await self.receiver.event(lambda one: one["type"] == kind and one["messageId"] == message, seconds=40)
        ).event
        if state != "sent":
            stands = await self.stands(message)
            assert (stands["state"], stands.get("reason")) == (state, event.get("reason"))
        return event

    async def later(self, message: str, ms: int) -> None:
        """As if so much time had passed since the text was sent, and a sweep came by."""
        name = f"{self.session} {message}"
        left = await self.stack.redis.zscore(keys.UNCONFIRMED, name)
        await self.stack.redis.zadd(keys.UNCONFIRMED, {name: left - ms})
        redis = client(self.stack.redis.connection_pool)
        await redis.delete(keys.SWEPT)
        await enqueue(redis, keys.QUEUE_SESSIONS, "sweep", job_id=f"sweep:{message}:{ms}")


@pytest_asyncio.fixture(loop_scope="session")
async def company(told: Stack, receiver: Receiver) -> Company:
    link, number = await told.linked()
    await told.worker.said("session.logged-in", session=link["session"])
    return Company(told, receiver, link["company"], number)


async def reads(company: Company, friend: Phone) -> None:
    await friend.change(receipts="read")
    await company.ends(await company.says(friend), "read")


async def ignores(company: Company, friend: Phone) -> None:
    await friend.change(receipts="none")
    message = await company.says(friend)
    await company.ends(message, "sent")
    await company.later(message, CONFIRM_MS)
    assert (await company.ends(message, "undelivered"))["reason"] == "unconfirmed"


async def opens_it_at_the_second_try(company: Company, friend: Phone) -> None:
    await friend.change(receipts="delivered")
    await company.stack.emulator.arm("retry-receipt", phone=friend.number)
    message = await company.says(friend)
    await company.stack.emulator.wait_for("message.resent", phone=company.number.lstrip("+"))
    await company.ends(message, "delivered")


async def cannot_decrypt_it(company: Company, friend: Phone) -> None:
    await friend.change(receipts="none")
    await company.stack.emulator.arm("retry-receipt", phone=friend.number, times=None)
    message = await company.says(friend)
    await company.ends(message, "sent")
    await until(lambda: _is_doubted(company, message))
    await company.later(message, DOUBT_MS)
    assert (await company.ends(message, "undelivered"))["reason"] == "unreadable"


async def _is_doubted(company: Company, message: str) -> bool:
    return bool(await company.stack.redis.hexists(keys.message(company.session, message), "doubt"))


async def has_changed_its_keys(company: Company, friend: Phone) -> None:
    await friend.change(receipts="delivered")
    await company.ends(await company.says(friend), "delivered")
    for is_told in (True, False):
        await friend.reinstall(told=is_told)
        await company.ends(await company.says(friend), "delivered")


async def has_no_keys(company: Company, friend: Phone) -> None:
    await company.stack.emulator.arm("keys-refused", phone=friend.number, times=None)
    message = await company.says(friend)
    assert (await company.ends(message, "undelivered"))["reason"] == "no-keys"


async def is_nobodys(company: Company, friend: Phone) -> None:
    await friend.change(on_whatsapp=False)
    message = await company.says(friend)
    assert (await company.ends(message, "failed"))["reason"] == "not-on-whatsapp"


FATES: tuple[Callable[[Company, Phone], Awaitable[None]], ...] = (
    reads,
    ignores,
    opens_it_at_the_second_try,
    cannot_decrypt_it,
    has_changed_its_keys,
    has_no_keys,
    is_nobodys,
)


async def test_every_fate_of_a_text_at_its_receivers_phone_is_told_as_it_is(company: Company) -> None:
    for fate in FATES:
        print(fate.__name__)
        await fate(company, person(company.stack))
    # By its id: one whose answer was late comes again.
    told = {one.event["id"]: one.event for one in company.receiver.received if one.event["companyId"] == company.name}
    ends = [(one["type"], one["messageId"]) for one in told.values() if "messageId" in one]
    assert len(ends) == len(set(ends)), "each step is told once"


def heard(receiver: Receiver) -> list[dict[str, Any]]:
    """What has come in, each event once, in the order in which it was first taken."""
    events = {one.event["id"]: one.event for one in receiver.received if one.event["type"] == "message.received"}
    return [one["message"] for one in events.values()]


async def test_what_comes_in_is_told_with_its_kind_to_whoever_asked_for_it(
    company: Company, receiver: Receiver
) -> None:
    friend, own = person(company.stack), company.number.lstrip("+")
    await friend.change(name="Ada")
    first = await friend.say(own, "Is Friday free?")
    await friend.say(own, "At noon?", quoted=first, quoted_text="Is Friday free?")
    await friend.edit(own, first, "Is Monday free?")
    await friend.react(own, first, "👍", own=True)
    await friend.delete(own, first)
    await friend.say(own, kind="image")
    await company.stack.emulator.phone(own).say(friend.number, "Yes.")
    await until(lambda: len(heard(receiver)) >= 7, 40)
    said = heard(receiver)
    assert [(one["kind"], one.get("text", "")) for one in said] == [
        ("text", "Is Friday free?"),
        ("text", "At noon?"),
        ("edit", "Is Monday free?"),
        ("reaction", "👍"),
        ("deletion", ""),
        ("media", ""),
        ("text", "Yes."),
    ]
    assert [one["own"] for one in said] == [False] * 6 + [True]
    assert {(one["from"], one["chat"], one["name"]) for one in said[:6]} == {(f"+{friend.number}",) * 2 + ("Ada",)}
    assert said[0]["id"] == said[1]["quotedId"] == said[2]["targetId"] == said[3]["targetId"] == said[4]["targetId"]
    assert said[6]["chat"] == f"+{friend.number}"


async def _waits(stack: Stack, company: Company, count: int) -> bool:
    return bool(await stack.redis.llen(keys.inbox(company.session)) == count)


async def test_nothing_that_comes_in_is_missed_while_the_receiver_is_down_or_the_worker_dies(
    company: Company, receiver: Receiver
) -> None:
    friend, own, stack = person(company.stack), company.number.lstrip("+"), company.stack
    receiver.then = 503
    for number in range(10):
        await friend.say(own, str(number))
    await receiver.event(lambda one: one["type"] == "message.received")
    await until(lambda: _waits(stack, company, 10))
    await stack.worker.kill()
    for number in range(10, 20):
        await friend.say(own, str(number))
    receiver.then = 204
    worker = await stack.start_worker()
    await worker.said("session.logged-in", session=company.session, seconds=40)
    await friend.say(own, "20")

    async def all_were_taken() -> bool:
        # As if the pauses between tries had passed.
        waiting = await stack.redis.zrange(keys.WEBHOOKS, 0, -1)
        await stack.redis.zadd(keys.WEBHOOKS, dict.fromkeys(waiting, 1), xx=True) if waiting else None
        await stack.redis.publish(keys.WEBHOOKS, "1")
        return not waiting and len(heard(receiver)) == 21

    try:
        await until(all_were_taken, 60)
    except TimeoutError:
        raise AssertionError(f"heard {[one['text'] for one in heard(receiver)]}") from None
    assert [one["text"] for one in heard(receiver)] == [str(number) for number in range(21)], "once, and in order"
