"""Redis away is not loss of ownership: linked sessions stay connected, whoever takes over is known by the device store and
by WhatsApp, and nobody fights."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from emulator.client import Emulator
from shared.state.lease import LEASE_MS
from tests.chaos.invariants import all_quiet
from tests.chaos.servers import Name, server
from tests.chaos.test_both_away import all_are_held
from tests.e2e.stack import Stack
from tests.recovery import Recovery
from tests.waiting import until

pytestmark = [pytest.mark.asyncio(loop_scope="session")]

BACK = 5.0
LONG = LEASE_MS / 1000 + 3
"""Longer than any lease lives."""
TEXT = {"to": "+79161234567", "text": "Still up."}


@pytest.fixture
def servers() -> Iterator[ExitStack]:
    """Servers that are gone after the test."""
    with ExitStack() as stack:
        yield stack


async def _connections(stack: Stack) -> int:
    return len(await stack.emulator.connections(stack.tag))


async def _kinds(stack: Stack, after: int, number: str) -> list[str]:
    return [event.kind for event in await stack.emulator.events(after, phone=number.lstrip("+"))]


async def _sends(stack: Stack, link: dict[str, Any]) -> bool:
    answer = await stack.http.post(f"/api/v1/companies/{link['company']}/messages", json=TEXT)
    return answer.status_code == 202


async def _is_linked(stack: Stack, link: dict[str, Any]) -> bool:
    answer = await stack.http.get(f"/api/v1/companies/{link['company']}")
    return answer.status_code == 200 and bool(answer.json()["state"] == "linked")


@pytest.mark.parametrize("empty", [True, False], ids=["empty", "as it was"])
async def test_gone_for_everybody_and_longer_than_leases_live(
    emulator: Emulator, folder: Path, servers: ExitStack, recovery: Recovery, *, empty: bool
) -> None:
    redis = servers.enter_context(server(*([] if empty else ["--appendonly", "yes"])))
    async with Stack.running(emulator, redis.url, folder, workers=2) as stack:
        linked = [await stack.linked() for _ in range(3)]
        await all_are_held(stack, linked)
        await stack.resume()  # or a slow machine meets their move to another process
        await all_are_held(stack, linked)
        before = await emulator.now()
        redis.kill()
        await asyncio.sleep(LONG)  # the outage itself
        assert await _connections(stack) == len(linked)
        redis.start()
        with recovery.within(f"Redis away for {LONG:.0f} s, then {'empty' if empty else 'back'}: all linked", BACK):
            for link, _ in linked:
                await until(lambda link=link: _is_linked(stack, link))
        for link, number in linked:
            await until(lambda link=link: _sends(stack, link))
            await emulator.wait_for("message.received", after=before, phone=number.lstrip("+"))
            assert "connection.closed" not in await _kinds(stack, before, number)
        await until(lambda: _connections_are(stack, len(linked)))
        await all_quiet(stack)


async def _connections_are(stack: Stack, wanted: int) -> bool:
    return await _connections(stack) == wanted


async def test_gone_for_one_worker_and_taken_over_by_the_other(
    emulator: Emulator, folder: Path, servers: ExitStack, recovery: Recovery
) -> None:
    redis = servers.enter_context(server())
    async with Name(redis) as name, Stack.running(emulator, redis.url, folder, workers=0) as stack:
        older = await stack.start_worker(REDIS_URL=name.url)
        link, number = await stack.linked()
        await older.said("session.logged-in", session=link["session"])
        newer = await stack.start_worker()
        before = await emulator.now()
        name.cut = True
        name.drop()
        with recovery.within("one worker cut off from Redis: held by the other", 15):
            await newer.said("session.logged-in", session=link["session"])
            await older.said("session.yielded", session=link["session"])
        await until(lambda: _is_linked(stack, link))
        name.cut = False
        await older.said("heartbeat.back")
        await until(lambda: _sends(stack, link))
        await emulator.wait_for("message.received", after=before, phone=number.lstrip("+"))
        kinds = await _kinds(stack, before, number)
        assert kinds.count("device.connected") == 1, f"nobody fights: {kinds}"
        assert await _connections(stack) == 1
        assert await _is_linked(stack, link)
        assert not [line for line in newer.lines if line["event"] in {"session.lost", "lease.lost"}]
        await all_quiet(stack)


async def test_gone_for_one_worker_and_nobody_takes_over(
    emulator: Emulator, folder: Path, servers: ExitStack, recovery: Recovery
) -> None:
    redis = servers.enter_context(server())
    async with Name(redis) as name, Stack.running(emulator, redis.url, folder, workers=0) as stack:
        worker = await stack.start_worker(REDIS_URL=name.url)
        link, number = await stack.linked()
        await worker.said("session.logged-in", session=link["session"])
        before = await emulator.now()
        name.cut = True
        name.drop()
        await asyncio.sleep(LONG)  # the outage itself
        assert await _connections(stack) == 1
        name.cut = False
        with recovery.within("the only worker was cut off from Redis: its sessions send", BACK):
            await worker.said("heartbeat.back")
            await until(lambda: _is_linked(stack, link))
        await until(lambda: _sends(stack, link))
        await emulator.wait_for("message.received", after=before, phone=number.lstrip("+"))
        assert "connection.closed" not in await _kinds(stack, before, number)
        await all_quiet(stack)
