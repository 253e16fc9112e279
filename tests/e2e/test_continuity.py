"""The page may come and go, the service may restart: what was shown is shown again, and nothing grows."""

import asyncio
import math
import re
import time
from pathlib import Path

import psutil
import pytest
from playwright.async_api import Page, expect

from app.local.redis import LocalRedis
from emulator.client import Emulator
from tests.e2e.looks import hook, in_state, remaining
from tests.e2e.stack import Stack, new_number
from tests.waiting import until

pytestmark = [pytest.mark.asyncio(loop_scope="session")]

RECONNECTS = 200


@pytest.mark.browser
async def test_a_refresh_at_every_stage_shows_the_same_state_and_the_same_seconds(
    stack: Stack, phone_page: Page
) -> None:
    number = new_number()
    phone = stack.emulator.phone(number)
    link = await stack.link(locale="en")
    page = phone_page
    await page.goto(link["url"])
    await expect(hook(page, "phone")).to_be_visible()
    await page.reload()
    await expect(hook(page, "phone")).to_be_visible()

    await hook(page, "phone").fill(number)
    await hook(page, "get-code").click()
    await expect(hook(page, "code")).to_be_visible()
    clock, began = time.time(), time.monotonic()
    code, left = await hook(page, "code").inner_text(), await remaining(page)
    await page.reload()
    await expect(hook(page, "code")).to_have_text(code)
    gone, passed = left - await remaining(page), time.monotonic() - began
    # The host's clock may be set back meanwhile, and web says by it what is left.
    set_back = math.ceil(max(0, passed - (time.time() - clock) - 0.05))
    assert -set_back <= gone <= passed + 1

    await stack.emulator.arm("restart-late", phone=phone.number, delay=8)
    await phone.type_code(code)
    await in_state(page, "linking")
    await page.reload()
    await in_state(page, "linking")
    await in_state(page, "linked")
    await page.reload()
    await in_state(page, "linked")
    await expect(hook(page, "device")).to_contain_text(number[-2:])


async def test_two_hundred_reconnects_leave_nothing_behind(
    emulator: Emulator, own_redis: LocalRedis, folder: Path
) -> None:
    async with Stack.running(emulator, own_redis.url, folder) as stack:
        link = await stack.link()
        async with stack.socket(link) as first:
            await first.send("request-qr")
            await first.snapshot(lambda s: "qr" in s)

            async def reconnect(times: int) -> None:
                for _ in range(times):
                    async with stack.socket(link):
                        pass

            await reconnect(RECONNECTS // 4)
            web = psutil.Process(stack.web.pid)
            memory, files = web.memory_info().rss, web.num_fds()
            await reconnect(RECONNECTS)
            await until(lambda: web.num_fds() <= files + 1)  # the last one's socket closes a moment later
            assert web.memory_info().rss - memory < 4 * 2**20

            async def one_is_left() -> bool:
                metrics = (await stack.http.get("/metrics")).text
                channels = await stack.redis.pubsub_channels("wa:events:*")
                return bool(re.search(r"^wa_sockets 1\.0$", metrics, re.MULTILINE)) and len(channels) == 1

            await until(one_is_left)


async def test_after_a_restart_of_everything_the_session_is_held_again_without_a_click(
    emulator: Emulator, own_redis: LocalRedis, folder: Path
) -> None:
    async with Stack.running(emulator, own_redis.url, folder) as stack:
        link, number = await stack.linked()
        phone = number.lstrip("+")
        await emulator.wait_for("device.connected", phone=phone)
        await stack.worker.stop()
        await stack.web.stop()
        await stack.redis.flushall()
        before = await emulator.now()
        await stack.start_web()
        await stack.start_worker()
        await emulator.wait_for("device.connected", after=before, phone=phone)
        async with stack.socket(link) as socket:
            if socket.seen[-1]["snapshot"]["state"] != "linked":
                await socket.state("linked")
        answer = await stack.http.post(
            f"/api/v1/companies/{link['company']}/messages", json={"to": "+79161234567", "text": "Still here."}
        )
        assert answer.status_code == 202
        await emulator.wait_for("message.received", after=before, phone=phone)


@pytest.mark.browser
async def test_the_page_comes_back_by_itself_when_web_restarts(
    emulator: Emulator, own_redis: LocalRedis, folder: Path, page: Page
) -> None:
    async with Stack.running(emulator, own_redis.url, folder) as stack:
        await page.goto((await stack.link())["url"])
        await in_state(page, "awaiting_phone")
        attempt = await page.locator("main").get_attribute("data-attempt")
        await stack.web.kill()
        await stack.start_web()
        await expect(page.locator("main")).to_have_attribute("data-link", "ready", timeout=10_000)
        await in_state(page, "awaiting_phone")
        assert await page.locator("main").get_attribute("data-attempt") == attempt


async def test_a_company_that_is_unlinked_by_the_api_is_logged_out_and_can_be_linked_anew(stack: Stack) -> None:
    link, number = await stack.linked()
    answer = await stack.http.delete(f"/api/v1/companies/{link['company']}/session")
    assert answer.status_code == 202
    await stack.emulator.wait_for("device.unlinked", phone=number.lstrip("+"))
    again = await stack.link(link["company"])
    async with stack.socket(again) as socket:
        if socket.seen[-1]["snapshot"]["state"] != "unlinked":
            await socket.state("unlinked")
        await asyncio.gather(socket.send("request-qr"), socket.send("request-qr"))
        shown = await socket.snapshot(lambda s: "qr" in s)
        await stack.emulator.phone(number).scan(shown["qr"]["text"])
        await socket.state("linked")


async def test_a_logout_on_the_phone_is_told_and_forgotten(stack: Stack) -> None:
    link, number = await stack.linked()
    await stack.worker.said("session.logged-in", session=link["session"])
    async with stack.socket(link) as socket:
        await stack.emulator.phone(number).logout()
        told = await socket.snapshot(lambda s: s["state"] in {"unlinked", "failed"})
        assert told["failure"]["code"] in {"logged-out", "dropped-after-linking"}
