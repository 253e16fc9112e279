"""Texts through everything that dies: each arrives once or is told as failed, and all in the order of their 202s."""

import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from app.local.redis import LocalRedis
from emulator.client import Emulator
from shared.core import keys
from shared.core.ids import SessionId
from tests.chaos.test_workers import owner
from tests.e2e.processes import Service
from tests.e2e.stack import Stack
from tests.receiver import Receiver
from tests.waiting import beside, until

pytestmark = [pytest.mark.asyncio(loop_scope="session")]

Strike = Callable[[Stack, str, str], Coroutine[Any, Any, None]]

TEXTS = int(os.environ.get("TEXTS", "40"))
"""For each kind of misfortune. `make chaos` sends 200."""


@pytest_asyncio.fixture(loop_scope="session")
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver.running() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def pair(emulator: Emulator, own_redis: LocalRedis, folder: Path, receiver: Receiver) -> AsyncIterator[Stack]:
    """A web and two workers that tell the receiver; WhatsApp is 20 ms away. Their holders wear out at SIGUSR1."""
    hooks: dict[str, Any] = {
        "WEBHOOK_URL": receiver.url,
        "WEBHOOK_SECRET": "the integrator's own secret",
        "MAX_RATE": "0",
    }
    async with Stack.running(emulator, own_redis.url, folder, workers=0, **hooks) as stack:
        for _ in range(2):
            worker = await Service.start("tests.chaos.worn", stack.environment, until="worker.started")
            stack.workers.append(worker)
        await emulator.settings(stack.tag, answer_delay=0.02)
        yield stack


async def accept(stack: Stack, company: str, first: int, count: int) -> list[str]:
    """Texts one after the other; their ids."""
    ids = []
    for number in range(first, first + count):
        body = {"to": f"+7911000{number % 5:04}", "text": str(number)}
        answer = await stack.http.post(f"/api/v1/companies/{company}/messages", json=body)
        assert answer.status_code == 202, answer.text
        ids.append(answer.json()["id"])
    return ids


def ends(receiver: Receiver) -> dict[str, list[dict[str, Any]]]:
    """What was told of each text's end, by its id; a try that comes again counts once."""
    told: dict[str, dict[str, dict[str, Any]]] = {}
    for one in receiver.received:
        if one.event["type"] in {"message.sent", "message.failed"}:
            told.setdefault(one.event["messageId"], {})[one.body.decode()] = one.event
    return {message: list(events.values()) for message, events in told.items()}


async def arrivals(stack: Stack, number: str) -> list[int]:
    """The places of the texts that have arrived at the emulator, in their order there."""
    return [int(one["text"]) for one in await stack.emulator.messages(number.lstrip("+")) if one["text"]]


async def settled(
    stack: Stack,
    receiver: Receiver,
    session: str,
    number: str,
    ids: list[str],
    *,
    forgetful: bool = False,
    seconds: float = 90,
) -> list[str]:
    """Until every text has an end; the ends, after a look at the phone: each once, in order, as it was told.

    A `forgetful` Redis loses events that were not delivered yet: a text that has arrived counts as `sent` then.
    """

    async def missing() -> list[int]:
        there = set(await arrivals(stack, number)) if forgetful else set()
        return [place for place, one in enumerate(ids) if one not in ends(receiver) and place not in there]

    async def all_have_ended() -> bool:
        return not await missing()

    try:
        await until(all_have_ended, seconds)
    except TimeoutError:
        stands = [await stack.redis.hgetall(keys.message(SessionId(session), ids[one])) for one in await missing()]
        raise AssertionError(f"no end of {await missing()}: {stands}") from None
    told = ends(receiver)
    assert all(len(one) == 1 for one in told.values()), "an end is told once"
    arrived = await arrivals(stack, number)
    assert arrived == sorted(set(arrived)), "each arrives once, in the order of the 202s"
    words = []
    for place, one in enumerate(ids):
        event = told[one][0] if one in told else {"type": "message.sent"}
        words.append("sent" if event["type"] == "message.sent" else event["reason"])
        if words[-1] == "sent":
            assert place in arrived, f"text {place} is told as sent"
        elif words[-1] != "unknown":
            assert place not in arrived, f"text {place} is told as {words[-1]}"
    return words


async def kill_its_worker(stack: Stack, _number: str, session: str) -> None:
    await (await owner(stack, session)).kill()


async def stop_its_worker(stack: Stack, _number: str, session: str) -> None:
    await (await owner(stack, session)).stop()


async def cut_its_connection(stack: Stack, number: str, _session: str) -> None:
    await stack.emulator.cut(phone=number.lstrip("+"))


async def kill_its_holder(stack: Stack, _number: str, session: str) -> None:
    worker = await owner(stack, session)
    started = [line["holder"] for line in worker.lines if line.get("event") == "holder.started"]
    os.kill(started[-1], signal.SIGKILL)


async def wear_its_holder_out(stack: Stack, _number: str, session: str) -> None:
    worker = await owner(stack, session)
    os.kill(worker.pid, signal.SIGUSR1)
    await worker.said("holder.recycling")


async def empty_redis(stack: Stack, _number: str, session: str) -> None:
    await stack.redis.flushall()
    await until(lambda: stack.redis.exists(keys.snapshot(SessionId(session))), 30)


MISFORTUNES = (
    kill_its_worker,
    stop_its_worker,
    cut_its_connection,
    kill_its_holder,
    wear_its_holder_out,
    empty_redis,
)


@pytest.mark.parametrize("strike", MISFORTUNES, ids=lambda one: one.__name__)
async def test_each_text_arrives_once_or_is_told_as_not_sent(pair: Stack, receiver: Receiver, strike: Strike) -> None:
    link, number = await pair.linked()
    company, session = link["company"], link["session"]
    ids = await accept(pair, company, 0, TEXTS // 2)
    seen = len(ends(receiver))  # at the end of each text its worker looks at all that wait: what it knows is not lost
    await until(lambda: len(ends(receiver)) >= min(seen + 3, len(ids)), 30)
    async with beside(strike(pair, number, session)) as striking:
        if strike is empty_redis:
            await striking  # until its worker has spoken up, Redis knows of no company
        ids += await accept(pair, company, TEXTS // 2, TEXTS // 2)
        words = await settled(pair, receiver, session, number, ids, forgetful=strike is empty_redis)
        await striking
    assert words.count("sent") >= TEXTS - 3, words
