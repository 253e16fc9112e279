"""Random sequences of phone, server and owner with the real library: each ends by its deadline and leaves nothing.

The many are played with scripted linkers (tests/integration/test_every_attempt_ends.py); these few prove that the real
ones behave so as well. A failing course is played again by its number.
"""

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from app.local.redis import LocalRedis
from emulator.client import Emulator
from emulator.faults import Fault
from shared.core.lifecycle import RUNNING, State
from tests.e2e.acting import Actor
from tests.e2e.processes import is_at_rest
from tests.e2e.stack import Stack
from tests.scenarios import Arm, Play, Scenario
from tests.waiting import until

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.slow, pytest.mark.timeout(400)]

COURSES = 24
AT_ONCE = 5
SEED = 500
END_SECONDS = 130.0
"""The phone may have agreed last: then it has 75 s to the login, and a loaded machine some more."""

#: What strikes once the phone is known. Not what only sending a message would meet.
FAULTS = [
    fault
    for fault in Fault
    if fault.startswith(
        ("code-", "phone-", "pair-", "restart-", "login-", "success-", "prekeys-", "active-", "connected-")
    )
    or fault in {Fault.STREAM_ERROR, Fault.CONFLICT_REPLACED, Fault.DWELL_DROP}
]
STATUSES = [400, 401, 402, 403, 405, 409, 429, 452, 500, 503]


def course(number: int) -> tuple[Scenario, list[str]]:
    """Which faults are armed, and what the owner and the phone do, in order."""
    chance = random.Random(SEED + number)
    arms = tuple(
        Arm(
            chance.choice(FAULTS),
            skip=chance.randrange(2),
            delay=chance.choice([None, 0, 1, 2]),
            status=chance.choice(STATUSES),
        )
        for _ in range(chance.randrange(4))
    )
    acts = chance.choices(["qr", "code", "scan", "type", "wrong", "cancel", "cut", "logout"], k=chance.randrange(2, 7))
    return Scenario(f"course {number}", Play.LOOK, "", "", arms=arms), ["qr", *acts]


async def _act(actor: Actor, act: str) -> None:
    body = actor.outcome.body
    match act:
        case "qr":
            await actor.socket.send("request-qr")
        case "code":
            await actor.ask()
        case "scan":
            body = await actor.until(lambda body: body.get("qr") or State(body["state"]) not in RUNNING)
            if qr := body.get("qr"):
                await actor.phone.scan(qr["text"])
        case "type" | "wrong":
            if code := body.get("code"):
                text = code["text"]
                await actor.phone.type_code(text if act == "type" else ("2" if text[0] == "1" else "1") + text[1:])
        case "cancel":
            await actor.socket.send("cancel")
        case "cut":
            await actor.stack.emulator.cut(phone=actor.number)
        case "logout":
            await actor.phone.logout()


async def _play(stack: Stack, number: int) -> str | None:
    scenario, acts = course(number)
    async with Actor(stack, scenario) as actor:
        await actor.arm()
        for act in acts:
            await _act(actor, act)
        await actor.socket.send("cancel")
        # Commands are obeyed in turn: once this one is refused, no earlier one is still to begin an attempt.
        await actor.socket.send("hello", token="again")
        await actor.socket.until(lambda message: message.get("error", {}).get("field") == "type")
        try:
            body = await until(lambda: _ended(actor), END_SECONDS)
        except TimeoutError:
            return f"course({number}) {acts} with {[str(arm) for arm in scenario.arms]}: {actor.outcome.states}"
        if body["state"] == "failed" and not body.get("failure"):
            return f"course({number}): failed without a reason"
    return None


async def _ended(actor: Actor) -> dict[str, Any] | None:
    body = await actor.stack.company(actor.link)
    return None if State(body["state"]) in RUNNING else body


async def test_every_course_ends_and_leaves_no_linker(emulator: Emulator, own_redis: LocalRedis, folder: Path) -> None:
    places = asyncio.Semaphore(AT_ONCE)
    async with Stack.running(emulator, own_redis.url, folder, MAX_ATTEMPTS="60") as stack:

        async def play(number: int) -> str | None:
            async with places:
                return await _play(stack, number)

        wrong = await asyncio.gather(*(play(number) for number in range(COURSES)))
        assert [one for one in wrong if one] == []
        # An ending is told before its linker is killed.
        await until(lambda: is_at_rest(stack.worker), seconds=5)
        crashed = [line for line in stack.worker.lines if line["event"] == "operation.crashed"]
        assert crashed == []
