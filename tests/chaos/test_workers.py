"""A worker dies, is stopped, or is told to go, in every state of an onboarding; the page goes on."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from app.local.redis import LocalRedis
from emulator.client import Emulator
from shared.core import keys
from shared.core.ids import SessionId
from shared.state.lease import LEASE_MS
from tests.chaos.invariants import Watch, all_quiet
from tests.e2e.processes import Service
from tests.e2e.stack import Socket, Stack, new_number
from tests.recovery import Recovery
from tests.waiting import until

pytestmark = [pytest.mark.asyncio(loop_scope="session")]

KILLED = LEASE_MS / 1000 - 1.5
"""Sooner than the heartbeat of a killed worker can lapse: its last will speaks for it."""
LAPSED = 12.0
LOGGED_OUT = 5.0
TOLD = 3.0
GONE = 20.0


@pytest_asyncio.fixture(loop_scope="session")
async def pair(emulator: Emulator, own_redis: LocalRedis, folder: Path) -> AsyncIterator[Stack]:
    """A web and two workers."""
    async with Stack.running(emulator, own_redis.url, folder, workers=2) as stack:
        yield stack


async def owner(stack: Stack, session: str) -> Service:
    """The worker that owns the session."""
    value = await stack.redis.get(keys.lease(SessionId(session)))
    assert value is not None
    pid = int(value.decode().rsplit(":", 1)[0].split("-")[-2])
    return next(worker for worker in stack.workers if worker.pid == pid)


async def reach(stack: Stack, socket: Socket, state: str, number: str) -> dict[str, Any]:
    """Bring an onboarding into a state, and keep it there for long enough to kill somebody."""
    phone = number.lstrip("+")
    if state == "connecting":
        await stack.emulator.arm("handshake-late", tag=stack.tag, delay=8)
    if state == "linking":
        await stack.emulator.arm("restart-late", phone=phone, delay=30)
    if state == "code":
        await socket.send("request-pairing-code", phoneNumber=number)
        return await socket.snapshot(lambda s: "code" in s)
    await socket.send("request-qr")
    if state == "connecting":
        connecting = await socket.state("connecting")
        # The delay is spent on this connection, and not on the one that follows it.
        await stack.emulator.wait_for("fault.fired", tag=stack.tag)
        return connecting
    shown = await socket.snapshot(lambda s: "qr" in s)
    if state in {"linking", "linked"}:
        await stack.emulator.phone(number).scan(shown["qr"]["text"])
        return await socket.state(state)
    return shown


@pytest.mark.parametrize("state", ["connecting", "qr", "code"])
async def test_a_killed_worker_costs_the_page_seconds(pair: Stack, recovery: Recovery, state: str) -> None:
    number = new_number()
    link = await pair.link()
    async with Watch(pair), pair.socket(link) as socket:
        old = await reach(pair, socket, state, number)
        victim = await owner(pair, link["session"])
        with recovery.within(f"kill -9 of a worker: {state} → shown again", KILLED):
            await victim.kill()
            wanted = "code" if state == "code" else "qr"
            new = await socket.snapshot(lambda s: wanted in s and s["attempt"] > old["attempt"], seconds=20)
        if state == "code":
            assert await pair.emulator.phone(number).type_code(new["code"]["text"]) == "confirmed"
        else:
            assert await pair.emulator.phone(number).scan(new["qr"]["text"]) == "confirmed"
        await socket.state("linked")
    await all_quiet(pair)


async def test_a_worker_killed_after_the_phone_agreed_ends_the_attempt_by_name(pair: Stack, recovery: Recovery) -> None:
    link = await pair.link()
    async with Watch(pair), pair.socket(link) as socket:
        await reach(pair, socket, "linking", new_number())
        victim = await owner(pair, link["session"])
        with recovery.within("kill -9 of a worker: linking → ended by name", KILLED):
            await victim.kill()
            failed = await socket.state("failed", seconds=20)
        assert failed["failure"]["code"] == "worker-lost"
        await socket.send("request-qr")
        await socket.snapshot(lambda s: "qr" in s)


async def test_a_device_whose_attempt_was_taken_over_as_its_phone_agreed_is_logged_out(
    pair: Stack, recovery: Recovery
) -> None:
    """Redis forgets everything, and a click is served elsewhere before the owner of the attempt can speak."""
    link, number = await pair.link(), new_number()
    phone = pair.emulator.phone(number)
    async with pair.socket(link) as socket:
        await reach(pair, socket, "linking", number)
    victim = await owner(pair, link["session"])
    victim.process.send_signal(signal.SIGSTOP)
    try:
        await pair.redis.flushall()
        async with pair.socket(link) as page:
            await page.send("request-qr")
            await page.snapshot(lambda s: "qr" in s)
        assert await owner(pair, link["session"]) is not victim
        assert len(await phone.devices()) == 1
    finally:
        victim.process.send_signal(signal.SIGCONT)

    async def is_gone() -> bool:
        return not await phone.devices()

    with recovery.within("an attempt is taken over, the phone has agreed: its device is logged out", LOGGED_OUT):
        await until(is_gone)
    await victim.said("lease.lost", session=link["session"])


async def test_a_killed_workers_session_is_held_elsewhere(pair: Stack, recovery: Recovery) -> None:
    number = new_number()
    link = await pair.link()
    async with Watch(pair), pair.socket(link) as socket:
        await reach(pair, socket, "linked", number)
        victim = await owner(pair, link["session"])
        await victim.said("session.logged-in", session=link["session"])
        before = await pair.emulator.now()
        with recovery.within("kill -9 of a worker: its session is held elsewhere", KILLED):
            await victim.kill()
            await pair.emulator.wait_for("device.connected", after=before, phone=number.lstrip("+"))
        await socket.state("linked")
    await all_quiet(pair)


async def test_a_queued_onboarding_outlives_every_worker(
    emulator: Emulator, own_redis: LocalRedis, folder: Path, recovery: Recovery
) -> None:
    async with Stack.running(emulator, own_redis.url, folder) as stack, Watch(stack):
        await stack.worker.kill()
        async with stack.socket(await stack.link()) as socket:
            await socket.send("request-qr")
            await socket.state("queued")
            with recovery.within("queued without a worker: shown once one starts", LAPSED):
                await stack.start_worker()
                await socket.snapshot(lambda s: "qr" in s)


async def test_sigterm_hands_everything_over(pair: Stack, recovery: Recovery) -> None:
    held, number = await pair.linked()
    victim = await owner(pair, held["session"])
    await victim.said("session.logged-in", session=held["session"])
    other = next(worker for worker in pair.workers if worker is not victim)
    link = await pair.link()
    async with Watch(pair), pair.socket(link) as socket:
        # The other one sleeps, so that the victim serves the attempt as well.
        other.process.send_signal(signal.SIGSTOP)
        shown = await reach(pair, socket, "qr", new_number())
        other.process.send_signal(signal.SIGCONT)
        assert await owner(pair, link["session"]) is victim
        before = await pair.emulator.now()
        with recovery.within("SIGTERM of a worker: attempt shown and session held again", TOLD):
            victim.process.send_signal(signal.SIGTERM)
            await asyncio.gather(
                socket.snapshot(lambda s: "qr" in s and s["attempt"] > shown["attempt"]),
                pair.emulator.wait_for("device.connected", after=before, phone=number.lstrip("+")),
            )
        with recovery.within("SIGTERM of a worker: the process is gone", GONE):
            assert await victim.ended() == 0
    await all_quiet(pair)


async def test_a_worker_stopped_past_its_lease_writes_nothing_and_holds_nothing(
    pair: Stack, recovery: Recovery
) -> None:
    held, number = await pair.linked()
    victim = await owner(pair, held["session"])
    await victim.said("session.logged-in", session=held["session"])
    link = await pair.link()
    async with Watch(pair), pair.socket(link) as socket:
        before = await pair.emulator.now()
        with recovery.within("SIGSTOP of a worker: its session is held elsewhere", LAPSED):
            victim.process.send_signal(signal.SIGSTOP)
            await pair.emulator.wait_for("device.connected", after=before, phone=number.lstrip("+"))
        victim.process.send_signal(signal.SIGCONT)
        await victim.said("lease.lost", session=held["session"])
        await socket.send("request-qr")
        await socket.snapshot(lambda s: "qr" in s)
        assert await owner(pair, held["session"]) is not victim
    await all_quiet(pair)
