"""Every limit at once, under four times the load: nothing beyond it, and whoever finds no room is told before he scans."""

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import psutil
import pytest
from websockets import ConnectionClosed, InvalidHandshake

from app.local.redis import LocalRedis
from emulator.client import Emulator
from emulator.server.world import Status
from shared.core import keys
from shared.core.ids import SessionId
from shared.state.outbox import MOST_WAITING
from tests.e2e.stack import Stack, new_number
from tests.receiver import Receiver
from tests.waiting import beside, until

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(300)]

WORKERS = 2
SESSIONS, ATTEMPTS = 2, 1  # of each worker
SOCKETS = 40
WAITING = 4
TIMES = 4
HELD, AT_ONCE = WORKERS * SESSIONS, WORKERS * ATTEMPTS
POST = {"to": "+79161234567"}


class Gauge:
    """The most that there was of anything at once."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self.company = ""
        """Whose outbox it looks at."""
        self.most = {"attempts": 0, "sessions": 0, "texts": 0, "waiting": 0}
        self.turned_away = 0
        """Clicks that were refused since too many waited."""

    async def watch(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(0.05)  # between two looks

    async def look(self) -> None:
        """Note how many there are now."""
        outbox = keys.outbox(SessionId(f"company_{self.company}"))
        there = await self._stack.emulator.connections(self._stack.tag)
        self._note("attempts", sum(one["status"] in {Status.UNLINKED, Status.LINKING} for one in there))
        # One session that moves to another process has two connections for a moment.
        self._note("sessions", len({one["phone"] for one in there if one["phone"]}))
        self._note("waiting", await self._stack.redis.zcard(keys.QUEUE_LINKING))
        self._note("texts", await self._stack.redis.llen(outbox))

    def _note(self, name: str, number: int) -> None:
        self.most[name] = max(self.most[name], number)


def _is_news(message: dict[str, Any]) -> bool:
    seen = message.get("snapshot", {})
    return "error" in message or "qr" in seen or seen.get("state") in {"linked", "failed"}


async def onboard(stack: Stack, company: str, gauge: Gauge) -> tuple[str, bool]:
    """How it ended for one owner, and whether a QR was shown. Who is turned away comes again."""
    number, shown = new_number(), False
    async with stack.socket(await stack.link(company)) as socket:
        await socket.send("request-qr")
        while True:
            message = await socket.until(_is_news, seconds=120)
            if "error" in message:
                assert (message["error"]["code"], message["error"]["retryAt"] > 0) == ("no-room", True)
                gauge.turned_away += 1
                await asyncio.sleep(0.2)  # an owner comes back no sooner
                await socket.send("request-qr")
                continue
            seen = message["snapshot"]
            if seen["state"] != "awaiting_phone":
                return (seen.get("failure") or {}).get("code", seen["state"]), shown
            if not shown:
                shown = True
                await gauge.look()  # while this attempt lasts: it is short
                await stack.emulator.phone(number).scan(seen["qr"]["text"])


async def test_every_limit_holds_under_four_times_the_load(
    emulator: Emulator, own_redis: LocalRedis, folder: Path
) -> None:
    limits: dict[str, Any] = {
        "MAX_SESSIONS": str(SESSIONS),
        "MAX_ATTEMPTS": str(ATTEMPTS),
        "MAX_SOCKETS": str(SOCKETS),
        "MAX_WAITING": str(WAITING),
    }
    async with (
        Receiver.running() as receiver,
        Stack.running(
            emulator,
            own_redis.url,
            folder,
            workers=WORKERS,
            WEBHOOK_URL=receiver.url,
            WEBHOOK_SECRET="the integrator's own secret",
            MAX_RATE="0",
            **limits,
        ) as stack,
    ):
        gauge = Gauge(stack)
        async with beside(gauge.watch()):
            await _overload(stack, receiver, gauge)
        assert 0 < gauge.most.pop("attempts") <= AT_ONCE
        assert 0 < gauge.most.pop("waiting") <= WAITING
        assert gauge.turned_away > 0
        assert gauge.most == {"sessions": HELD, "texts": MOST_WAITING}


async def _overload(stack: Stack, receiver: Receiver, gauge: Gauge) -> None:
    owners = [onboard(stack, f"salon-{number}", gauge) for number in range(TIMES * HELD)]
    ends = await asyncio.gather(*owners)
    linked = [f"salon-{number}" for number, (end, _) in enumerate(ends) if end == "linked"]
    assert len(linked) == HELD
    assert {(end, shown) for end, shown in ends if end != "linked"} == {("no-room", False)}, "before the scan"
    await until(lambda: gauge.most["sessions"] == HELD)  # each logs in by itself after it was linked

    gauge.company = linked[0]
    await _fill_outbox(stack, receiver, gauge.company)
    await _fill_sockets(stack)

    for worker in stack.workers:
        await worker.stop()
    for _ in range(WORKERS):
        await stack.start_worker()

    async def online() -> bool:
        states = [(await stack.company({"company": one}))["state"] for one in linked]
        return states == ["linked"] * HELD

    await until(online, 60)


async def _fill_outbox(stack: Stack, receiver: Receiver, company: str) -> None:
    """Texts while WhatsApp hardly answers: as many as fit, and the others refused; each that was accepted has one end."""
    await stack.emulator.settings(stack.tag, answer_delay=1)
    accepted: list[str] = []
    refused: list[Any] = []

    async def post(text: int) -> None:
        answer = await stack.http.post(f"/api/v1/companies/{company}/messages", json=POST | {"text": str(text)})
        if answer.status_code == 202:
            accepted.append(answer.json()["id"])
        else:
            refused.append((answer.status_code, int(answer.headers["retry-after"]) > 0))

    for first in range(0, TIMES * MOST_WAITING, 8):
        await asyncio.gather(*(post(number) for number in range(first, first + 8)))
    assert set(refused) == {(429, True)}
    assert len(accepted) + len(refused) == TIMES * MOST_WAITING
    await stack.emulator.settings(stack.tag, answer_delay=0)

    def told() -> list[str]:
        ends = [one.event for one in receiver.received if one.event["type"] in {"message.sent", "message.failed"}]
        return [one["messageId"] for one in ends if one["type"] == "message.sent"]

    await until(lambda: set(told()) == set(accepted), 120)
    assert len({one.event["id"] for one in receiver.received if one.event.get("messageId")}) >= len(accepted)


def _open(stack: Stack) -> int:
    """The connections that web has with callers."""
    there = psutil.Process(stack.web.pid).net_connections("tcp")
    return sum(one.laddr.port == stack.port and one.status == "ESTABLISHED" for one in there)


async def _fill_sockets(stack: Stack) -> None:
    """Pages of as many as there are places; the others are turned away, and come in when there are places again."""
    links = [await stack.link() for _ in range(SOCKETS)]
    await stack.http.aclose()
    async with contextlib.AsyncExitStack() as pages:
        refused = 0
        for number in range(TIMES * SOCKETS):
            address = f"198.18.{number // 250}.{number % 250}"
            try:
                await pages.enter_async_context(stack.socket(links[number % SOCKETS], address=address))
            except (OSError, EOFError, InvalidHandshake, ConnectionClosed):
                refused += 1
        assert refused == (TIMES - 1) * SOCKETS
        await until(lambda: _open(stack) == SOCKETS)
    stack.http = stack.another_client()
    async with stack.socket(links[0]):
        pass
