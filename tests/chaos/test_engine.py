"""The processes below a worker die, and the wire to WhatsApp breaks: the worker puts it right, the page goes on."""

import signal
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from app.local.redis import LocalRedis
from emulator.client import Emulator
from tests.chaos.invariants import Watch, all_quiet
from tests.e2e.processes import signal_all
from tests.e2e.stack import Stack, new_number
from tests.recovery import Recovery

pytestmark = [pytest.mark.asyncio(loop_scope="session")]

HOLDER = 5.0
WEB = 2.0


@pytest_asyncio.fixture(loop_scope="session")
async def one(emulator: Emulator, own_redis: LocalRedis, folder: Path) -> AsyncIterator[Stack]:
    """A web and a worker."""
    async with Stack.running(emulator, own_redis.url, folder) as stack:
        yield stack


async def test_a_killed_linker_costs_the_page_a_moment(one: Stack, recovery: Recovery) -> None:
    link = await one.link()
    async with Watch(one), one.socket(link) as socket:
        await socket.send("request-qr")
        shown = await socket.snapshot(lambda s: "qr" in s)
        said = await one.worker.said("attempt.connecting", session=link["session"])
        with recovery.within("kill -9 of a linker: shown again", HOLDER):
            psutil.Process(said["linker"]).kill()
            again = await socket.snapshot(lambda s: "qr" in s and s["attempt"] > shown["attempt"])
        assert await one.emulator.phone(new_number()).scan(again["qr"]["text"]) == "confirmed"
        await socket.state("linked")
    await all_quiet(one)


async def test_a_linker_killed_after_the_phone_agreed_is_followed_by_one_that_logs_in(
    one: Stack, recovery: Recovery
) -> None:
    number = new_number()
    link = await one.link()
    async with Watch(one), one.socket(link) as socket:
        await one.emulator.arm("restart-late", phone=number.lstrip("+"), delay=30)
        await socket.send("request-qr")
        shown = await socket.snapshot(lambda s: "qr" in s)
        said = await one.worker.said("attempt.connecting", session=link["session"])
        assert await one.emulator.phone(number).scan(shown["qr"]["text"]) == "confirmed"
        await socket.state("linking")
        with recovery.within("kill -9 of a linker, the phone has agreed: linked all the same", HOLDER):
            psutil.Process(said["linker"]).kill()
            linked = await socket.state("linked")
        assert linked["attempt"] == shown["attempt"]
    await all_quiet(one)


@pytest.mark.parametrize("victim", ["holder", "zygote"])
async def test_a_killed_holder_or_zygote_takes_its_sessions_up_again(
    one: Stack, recovery: Recovery, victim: str
) -> None:
    held, number = await one.linked()
    await one.worker.said("session.logged-in", session=held["session"])
    zygote = one.worker.zygote()
    said = await one.worker.said("holder.started")
    async with Watch(one), one.socket(held) as socket:
        before = await one.emulator.now()
        with recovery.within(f"kill -9 of the {victim}: the session is held again", HOLDER):
            (zygote if victim == "zygote" else psutil.Process(said["holder"])).kill()
            await one.emulator.wait_for("device.connected", after=before, phone=number.lstrip("+"))
        await socket.state("linked")
    await all_quiet(one)


async def test_sigterm_to_everything_below_the_worker_changes_nothing(one: Stack) -> None:
    """Hosts signal every process of a dyno at once; what becomes of the engines is the worker's to decide."""
    held, number = await one.linked()
    await one.worker.said("session.logged-in", session=held["session"])
    link = await one.link()
    async with Watch(one), one.socket(link) as socket:
        await socket.send("request-qr")
        shown = await socket.snapshot(lambda s: "qr" in s)
        before = await one.emulator.now()
        signal_all(psutil.Process(one.worker.pid).children(recursive=True), signal.SIGTERM)
        assert await one.emulator.phone(new_number()).scan(shown["qr"]["text"]) == "confirmed"
        linked = await socket.state("linked")
        assert linked["attempt"] == shown["attempt"]
        text = {"to": "+79161234567", "text": "Still up."}
        assert (await one.http.post(f"/api/v1/companies/{held['company']}/messages", json=text)).status_code == 202
        await one.emulator.wait_for("message.received", after=before, phone=number.lstrip("+"))


async def test_a_cut_wire_is_shown_as_reconnecting_and_mends(one: Stack) -> None:
    held, number = await one.linked()
    await one.worker.said("session.logged-in", session=held["session"])
    async with Watch(one), one.socket(held) as socket:
        before = await one.emulator.now()
        # A page is sent the newest state only, and the library is back in no time: it is kept out until this is seen.
        away = await one.emulator.arm("connect-http-error", tag=one.tag, times=None)
        assert await one.emulator.cut(phone=number.lstrip("+")) == 1
        await socket.state("reconnecting")
        await one.emulator.disarm(away)
        await one.emulator.wait_for("device.connected", after=before, phone=number.lstrip("+"))
        await socket.state("linked")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
async def test_web_comes_back_with_the_present_state(one: Stack, recovery: Recovery, how: signal.Signals) -> None:
    link = await one.link()
    async with one.socket(link) as socket:
        await socket.send("request-qr")
        shown = await socket.snapshot(lambda s: "qr" in s)
    one.web.process.send_signal(how)
    await one.web.ended()
    await one.start_web()
    with recovery.within(f"web restarted after {how.name}: the present state", WEB):
        async with one.socket(link) as socket:
            now = socket.seen[-1]["snapshot"]
    assert now["qr"] == shown["qr"]
    assert (now["attempt"], now["seq"]) == (shown["attempt"], shown["seq"])
