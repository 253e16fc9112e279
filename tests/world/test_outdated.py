"""WhatsApp refuses our version, for everybody at once: the fleet comes back by itself, or with one word of the operator."""

from collections import Counter
from pathlib import Path

import pytest

from app.local.redis import LocalRedis
from emulator.client import Emulator
from shared.core import keys
from shared.core.clock import now_ms
from tests.e2e.stack import Stack
from tests.operators.sink import Sink
from tests.waiting import until
from tests.world.fleet import Fleet

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(420)]

COMPANIES = 40
FIRST, SECOND, THIRD = 1_050_000_123, 1_052_000_000, 1_054_000_000
MOST_TRIES = 2
"""A session is refused at its own reconnect, and may be refused once more."""


async def test_a_fleet_outlives_three_waves_of_refusals(
    emulator: Emulator, own_redis: LocalRedis, folder: Path
) -> None:
    async with (
        Sink.running() as sink,
        Stack.running(emulator, own_redis.url, folder, workers=2, SENTRY_DSN=sink.dsn, MAX_SESSIONS="30") as stack,
    ):
        fleet = Fleet(stack)
        await fleet.link(COMPANIES)
        assert min(await until(lambda: _held(stack))) >= 10, "both workers hold some"

        async def all_are_online() -> bool:
            online = [one for one in await emulator.connections(stack.tag) if one["status"] == "online"]
            return len(online) == COMPANIES

        await until(all_are_online, seconds=60)  # a fresh device waits some seconds for its turn
        await fleet.resume()  # or some would move to another process while they are cut off
        await until(all_are_online)

        # The library's own number is refused, and WhatsApp names a newer one.
        before = await emulator.now()
        await emulator.settings(stack.tag, minimum_revision=FIRST - 100, web_revision=FIRST)
        assert await emulator.cut(tag=stack.tag) == COMPANIES
        await fleet.send_each("sent while refused")
        await fleet.all_logged_in(before, revision=FIRST)
        await fleet.has_arrived("sent while refused")
        assert await until(lambda: _all(fleet, "linked"))
        refused = await fleet.refusals(before)
        assert max(refused.values()) <= MOST_TRIES, refused
        served = [event for event in await emulator.events(before, tag=stack.tag) if event.kind == "web-page.served"]
        assert 1 <= len(served) <= len(stack.workers), "each worker asks at most once"
        await fleet.link(2)
        assert refusals_by_sentry(sink) == []

        # The same, but WhatsApp cannot be asked: the operator names the number. A session that is online stays so.
        for fault in ("web-page-refused", "web-script-refused"):
            await emulator.arm(fault, tag=stack.tag, times=None)
        before = await emulator.now()
        spared = fleet.numbers[0]
        await emulator.settings(stack.tag, minimum_revision=SECOND, web_revision=FIRST)
        for number in fleet.numbers[1:]:
            await emulator.cut(phone=number)
        await until(lambda: _outdated(stack, len(fleet.numbers) - 1), seconds=60)
        # A worker counts a session before it has saved what the session shows.
        await until(lambda: _all_but(fleet, 1, "reconnecting client-outdated"))
        await fleet.send_each("sent while the operator sleeps")
        await stack.redis.hset(keys.SWITCH, "web-version", f"2.3000.{SECOND}")
        await stack.redis.publish(keys.SWITCH_CHANNEL, "web-version")
        fleet.numbers.remove(spared)
        await fleet.all_logged_in(before, revision=SECOND)
        fleet.numbers.insert(0, spared)
        await fleet.has_arrived("sent while the operator sleeps")
        refused = await fleet.refusals(before)
        assert refused[spared] == 0
        assert max(refused.values()) <= MOST_TRIES, refused
        closed = [event for event in await emulator.events(before, phone=spared) if event.kind == "connection.closed"]
        assert closed == [], "who is online is not disturbed"
        await fleet.link(1)
        assert len(refusals_by_sentry(sink)) == 1

        # And the newer number is refused as well.
        before = await emulator.now()
        await emulator.settings(stack.tag, minimum_revision=THIRD)
        await emulator.cut(tag=stack.tag)
        await until(lambda: _outdated(stack, len(fleet.numbers)), seconds=60)
        refused = await fleet.refusals(before)
        assert max(refused.values()) <= MOST_TRIES, refused
        await until(lambda: _all_but(fleet, 0, "reconnecting client-outdated"))
        body = await stack.company(fleet.links[0])
        assert (body["state"], body["failure"]["code"]) == ("reconnecting", "client-outdated")
        assert body["failure"]["retryAt"] > now_ms()
        async with stack.socket(await stack.link()) as socket:
            await socket.send("request-qr")
            failed = await socket.state("failed")
        assert failed["failure"]["code"] == "client-outdated"
        assert failed["failure"]["retryAt"] > now_ms()
        assert await until(lambda: _told(sink, 2)), "one alert for each number that was refused without a way out"
        assert Counter(await fleet.refusals(before)) == refused, "nobody tries again by itself"


def refusals_by_sentry(sink: Sink) -> list[str]:
    """What Sentry has heard of refused versions."""
    return [e["message"] for e in sink.events if e.get("tags", {}).get("operation") == "web-version"]


async def _told(sink: Sink, times: int) -> bool:
    return len(refusals_by_sentry(sink)) == times


async def _held(stack: Stack) -> list[int]:
    counts = [await stack.redis.hget(f"wa:worker:{one.decode()}", "sessions") for one in await _workers(stack)]
    held = [int(count or 0) for count in counts]
    return held if sum(held) >= COMPANIES else []


async def _outdated(stack: Stack, wanted: int) -> bool:
    counts = [await stack.redis.hget(f"wa:worker:{one.decode()}", "outdated") for one in await _workers(stack)]
    return sum(int(count or 0) for count in counts) == wanted


async def _workers(stack: Stack) -> list[bytes]:
    return list(await stack.redis.zrange(keys.WORKERS, 0, -1))


async def _all(fleet: Fleet, state: str) -> bool:
    return set(await fleet.states()) == {state}


async def _all_but(fleet: Fleet, others: int, state: str) -> bool:
    return (await fleet.states())[state] == len(fleet.links) - others
