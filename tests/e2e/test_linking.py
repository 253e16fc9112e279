"""The main job on the real client: open the link, scan or type, linked, held, and a text goes out."""

import asyncio

import pytest
from playwright.async_api import Page, expect

from tests.e2e.looks import hook, in_state, scan
from tests.e2e.stack import Stack, new_number
from tests.waiting import until

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.browser]


async def test_the_qr_is_read_from_the_screen_and_the_phone_is_linked_held_and_sends(stack: Stack, page: Page) -> None:
    number = new_number()
    link = await stack.link()
    await page.goto(link["url"])
    await in_state(page, "awaiting_phone")
    assert await scan(stack.emulator.phone(number), page) == "confirmed"
    await in_state(page, "linked")
    await expect(hook(page, "device")).to_contain_text("Planner for salons")
    assert link["token"] not in page.url
    event = await stack.emulator.wait_for("device.connected", phone=number.lstrip("+"))
    answer = await stack.http.post(
        f"/api/v1/companies/{link['company']}/messages", json={"to": "+79161234567", "text": "You are booked."}
    )
    assert answer.status_code == 202
    arrived = await stack.emulator.wait_for("message.received", after=event.id, phone=number.lstrip("+"))
    assert arrived.detail["text"] == "You are booked."


async def test_the_code_is_read_from_the_page_and_typed_into_the_phone(stack: Stack, phone_page: Page) -> None:
    number = new_number()
    link = await stack.link(locale="ru")
    await phone_page.goto(link["url"])
    await hook(phone_page, "phone").fill(number.replace("+7", "8 "))
    await hook(phone_page, "get-code").click()
    await expect(hook(phone_page, "code")).to_be_visible()
    code = await hook(phone_page, "code").inner_text()
    assert await stack.emulator.phone(number).type_code(code) == "confirmed"
    await in_state(phone_page, "linked")


async def test_a_phone_that_another_company_holds_is_asked_for_no_code(stack: Stack, phone_page: Page) -> None:
    held, number = await stack.linked()
    link = await stack.link(locale="en")
    await phone_page.goto(link["url"])
    await hook(phone_page, "phone").fill(number)
    await hook(phone_page, "get-code").click()
    await expect(hook(phone_page, "notice")).to_contain_text("Another account here uses it")
    assert held["company"] not in await phone_page.content()
    seen = await stack.emulator.events(phone=number.lstrip("+"))
    assert not [event for event in seen if event.kind == "code.requested"]
    assert (await stack.company(held))["state"] == "linked"
    told = [line.decode() for line in await stack.redis.lrange(f"wa:timeline:{link['session']}", 0, -1)]
    assert any(f"linked-elsewhere {held['session']}" in line for line in told)

    assert (await stack.http.delete(f"/api/v1/companies/{held['company']}/session")).status_code == 202

    async def is_unlinked() -> bool:
        return (await stack.company(held))["state"] == "unlinked"

    await until(is_unlinked)
    await hook(phone_page, "get-code").click()
    await expect(hook(phone_page, "code")).to_be_visible()
    code = await hook(phone_page, "code").inner_text()
    assert await stack.emulator.phone(number).type_code(code) == "confirmed"
    await in_state(phone_page, "linked")


async def test_three_clicks_and_two_tabs_are_one_attempt_and_one_code(stack: Stack, page: Page) -> None:
    number = new_number()
    link = await stack.link()
    second = await page.context.new_page()
    await asyncio.gather(page.goto(link["url"]), second.goto(link["url"]))
    await asyncio.gather(*(in_state(tab, "awaiting_phone") for tab in (page, second)))
    async with stack.socket(link) as one, stack.socket(link) as two:
        for socket in (one, two):
            for _ in range(3):
                await socket.send("request-pairing-code", phoneNumber=number)
        codes = [(await socket.snapshot(lambda s: "code" in s)) for socket in (one, two)]
        assert codes[0]["code"]["text"] == codes[1]["code"]["text"]
        assert codes[0]["attempt"] == codes[1]["attempt"]
        await two.send("request-pairing-code", phoneNumber=new_number())
        assert (await two.error())["code"] == "in-progress"
    requested = [
        event for event in await stack.emulator.events(phone=number.lstrip("+")) if event.kind == "code.requested"
    ]
    assert len(requested) == 1
    attempts = [await tab.locator("main").get_attribute("data-attempt") for tab in (page, second)]
    assert attempts == [str(codes[0]["attempt"])] * 2
