"""What only real time shows: a code that is typed late, and QRs that run out. All of it waits at once."""

import asyncio
import time

import pytest
from playwright.async_api import Browser, expect

from tests.e2e.looks import hook, in_state
from tests.e2e.stack import Stack, new_number

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.timeout(260),
]

LATE_SECONDS = 55


async def a_code_typed_late_still_links(stack: Stack) -> None:
    number = new_number()
    link = await stack.link()
    async with stack.socket(link) as socket:
        await socket.send("request-pairing-code", phoneNumber=number)
        shown = await socket.snapshot(lambda s: "code" in s)
        began = time.monotonic()
        # Real seconds: the second QR follows the first after 60 s, so its coming is the event to wait for.
        later = await socket.snapshot(lambda s: s.get("qr", {}).get("number") == 2, seconds=90)
        assert time.monotonic() - began > LATE_SECONDS  # not by the host's clock, which may be set back meanwhile
        assert later["code"] == shown["code"]
        assert await stack.emulator.phone(number).type_code(shown["code"]["text"]) == "confirmed"
        await socket.state("linked")


async def qrs_run_out_and_the_button_works(stack: Stack, browser: Browser) -> None:
    context = await browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-US")
    page = await context.new_page()
    await page.goto((await stack.link())["url"])
    await in_state(page, "awaiting_phone")
    # Nobody looks, so the page does not renew by itself.
    await page.evaluate(
        "Object.defineProperty(document, 'visibilityState', {value: 'hidden', configurable: true});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    attempt = int(await page.locator("main").get_attribute("data-attempt") or 0)
    await in_state(page, "expired", seconds=200)
    button = hook(page, "retry")
    await expect(button).to_be_visible()
    await button.click()
    await in_state(page, "awaiting_phone")
    assert int(await page.locator("main").get_attribute("data-attempt") or 0) > attempt
    await context.close()


async def test_late_codes_and_used_up_qrs(stack: Stack, browser: Browser) -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(a_code_typed_late_still_links(stack))
        tasks.create_task(qrs_run_out_and_the_button_works(stack, browser))
    await stack.worker.said("attempt.ended", state="expired")
