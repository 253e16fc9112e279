"""Looking at the page as a test does: by its hooks and by its state."""

import asyncio

from playwright.async_api import Locator, Page, expect

from emulator.client import EmulatorError, Phone


def hook(page: Page, name: str) -> Locator:
    """The element with this test id."""
    return page.get_by_test_id(name)


async def in_state(page: Page, state: str, *, failure: str | None = None, seconds: float = 20) -> None:
    """Wait until the page shows this state, and this failure code if one is named."""
    main = page.locator("main")
    await expect(main).to_have_attribute("data-state", state, timeout=seconds * 1000)
    if failure is not None:
        await expect(main).to_have_attribute("data-failure", failure, timeout=seconds * 1000)


async def remaining(page: Page) -> int:
    """The seconds that the countdown shows."""
    text = await hook(page, "countdown").first.inner_text()
    minutes, _, seconds = text.split()[-1].partition(":")
    return int(minutes) * 60 + int(seconds)


async def scan(phone: Phone, page: Page) -> str:
    """Hold the phone's camera before the screen until it sees a QR; what the phone says then."""
    async with asyncio.timeout(20):
        while True:
            try:
                return await phone.scan(await page.screenshot())
            except EmulatorError as error:
                if "no QR can be read" not in str(error):
                    raise
                await page.evaluate("new Promise(requestAnimationFrame)")
