"""Everything that can go wrong while linking is said on the page, by its failure code, with a way on."""

from pathlib import Path

import psutil
import pytest
from playwright.async_api import Page, WebSocketRoute, expect

from app.local.redis import LocalRedis
from emulator.client import Emulator
from tests.e2e.looks import hook, in_state, scan
from tests.e2e.processes import living
from tests.e2e.stack import Stack, new_number
from tests.recovery import at_most
from tests.waiting import until

pytestmark = [pytest.mark.asyncio(loop_scope="session")]


async def test_after_a_wrong_code_the_page_lives_and_the_right_code_links(stack: Stack) -> None:
    number = new_number()
    link = await stack.link()
    phone = stack.emulator.phone(number)
    async with stack.socket(link) as socket:
        await socket.send("request-pairing-code", phoneNumber=number)
        shown = await socket.snapshot(lambda s: "code" in s)
        code = shown["code"]["text"]
        wrong = ("2" if code[0] == "1" else "1") + code[1:]
        assert await phone.type_code(wrong) == "wrong-code"
        await socket.send("request-pairing-code", phoneNumber=number)
        assert (await stack.company(link))["state"] == "awaiting_phone"
        assert await phone.type_code(code) == "confirmed"
        assert (await socket.state("linked"))["attempt"] == shown["attempt"]


async def test_a_scan_of_the_old_qr_after_a_wrong_code_leads_to_a_fresh_qr(stack: Stack) -> None:
    number = new_number()
    link = await stack.link()
    phone = stack.emulator.phone(number)
    async with stack.socket(link) as socket:
        await socket.send("request-pairing-code", phoneNumber=number)
        shown = await socket.snapshot(lambda s: "code" in s)
        code = shown["code"]["text"]
        await phone.type_code(("2" if code[0] == "1" else "1") + code[1:])
        await phone.scan(shown["qr"]["text"])
        fresh = await socket.snapshot(lambda s: "qr" in s and s["attempt"] > shown["attempt"])
        assert fresh["qr"]["text"] != shown["qr"]["text"]
        assert await phone.scan(fresh["qr"]["text"]) == "confirmed"
        await socket.state("linked")


async def test_cancel_ends_the_linker_within_a_second_and_its_qr_is_useless(
    emulator: Emulator, own_redis: LocalRedis, folder: Path
) -> None:
    async with Stack.running(emulator, own_redis.url, folder) as stack:
        link = await stack.link()
        async with stack.socket(link) as socket:
            await socket.send("request-qr")
            shown = await socket.snapshot(lambda s: "qr" in s)
            said = await stack.worker.said("attempt.connecting", session=link["session"])
            linker = psutil.Process(said["linker"])
            await socket.send("cancel")
            await socket.state("cancelled")
            with at_most(1):
                await until(lambda: not living([linker]))
            assert await emulator.phone(new_number()).scan(shown["qr"]["text"]) != "confirmed"
            await socket.send("request-qr")
            again = await socket.snapshot(lambda s: "qr" in s)
            assert again["attempt"] > shown["attempt"]


@pytest.mark.browser
@pytest.mark.parametrize(
    ("status", "failure"),
    [(429, "whatsapp-rate-limited"), (400, "code-not-available"), (452, "code-not-available")],
)
async def test_a_refused_code_turns_the_page_to_the_living_qr(
    stack: Stack, phone_page: Page, status: int, failure: str
) -> None:
    number = new_number()
    await stack.emulator.arm("code-refused", phone=number.lstrip("+"), status=status)
    link = await stack.link(locale="en")
    await phone_page.goto(link["url"])
    await hook(phone_page, "phone").fill(number)
    await hook(phone_page, "get-code").click()
    await in_state(phone_page, "awaiting_phone", failure=failure)
    await expect(hook(phone_page, "qr")).to_be_visible()


@pytest.mark.browser
async def test_an_outdated_client_is_said(stack: Stack, page: Page) -> None:
    await stack.emulator.arm("connect-refused", tag=stack.tag, status=405)
    await page.goto((await stack.link())["url"])
    await in_state(page, "failed", failure="client-outdated")


@pytest.mark.browser
async def test_a_connection_cut_while_waiting_is_said_and_the_button_leads_on(stack: Stack, page: Page) -> None:
    await stack.emulator.arm("qr-cut", tag=stack.tag, delay=0.5)
    await page.goto((await stack.link())["url"])
    await in_state(page, "failed", failure="connection-failed")
    await hook(page, "retry").click()
    await in_state(page, "awaiting_phone")


@pytest.mark.browser
async def test_a_pairing_that_whatsapp_spoils_again_and_again_is_said(stack: Stack, page: Page) -> None:
    number = new_number()
    await stack.emulator.arm("pair-wrong-hmac", phone=number.lstrip("+"), times=None)
    await page.goto((await stack.link())["url"])
    for _ in range(3):
        await expect(page.locator("main")).to_have_attribute("data-state", "awaiting_phone", timeout=20_000)
        attempt = await page.locator("main").get_attribute("data-attempt")
        await scan(stack.emulator.phone(number), page)
        await expect(
            page.locator(f'main:not([data-attempt="{attempt}"][data-state="awaiting_phone"])')
        ).to_be_attached()
    await in_state(page, "failed", failure="pairing-refused")


@pytest.mark.browser
async def test_a_code_asked_for_before_the_socket_is_up_is_not_lost(stack: Stack, phone_page: Page) -> None:
    number = new_number()
    link = await stack.link(locale="en")
    up = False

    async def connect(socket: WebSocketRoute) -> None:
        if up:
            socket.connect_to_server()
        else:
            await socket.close(code=1012)

    await phone_page.route_web_socket("**/ws/v1", connect)
    await phone_page.goto(link["url"])
    await hook(phone_page, "phone").fill(number)
    await hook(phone_page, "get-code").click()
    up = True
    await expect(hook(phone_page, "code")).to_be_visible(timeout=20_000)


async def test_another_phone_than_the_expected_one_is_let_go(stack: Stack) -> None:
    expected, other = new_number(), new_number()
    link = await stack.link(phoneNumber=expected)
    async with stack.socket(link) as socket:
        await socket.send("request-qr")
        shown = await socket.snapshot(lambda s: "qr" in s)
        await stack.emulator.phone(other).scan(shown["qr"]["text"])
        failed = await socket.state("failed", seconds=40)
        assert failed["failure"]["code"] == "wrong-number"
    await stack.emulator.wait_for("device.unlinked", phone=other.lstrip("+"))


async def test_a_company_that_links_anew_leaves_no_dead_device_on_the_phone(stack: Stack) -> None:
    """Its old device was parked: somebody else had its keys."""
    link, number = await stack.linked()
    await stack.worker.said("session.logged-in", session=link["session"])
    await stack.emulator.arm("conflict-replaced", phone=number.lstrip("+"))
    await stack.emulator.cut(phone=number.lstrip("+"))

    async def is_parked() -> bool:
        return (await stack.company(link))["state"] == "failed"

    await until(is_parked, 20)
    phone = stack.emulator.phone(number)
    (old,) = await phone.devices()
    again = await stack.link(link["company"])
    async with stack.socket(again) as socket:
        await socket.send("request-qr")
        shown = await socket.snapshot(lambda s: "qr" in s)
        assert await phone.scan(shown["qr"]["text"]) == "confirmed"
        await socket.state("linked")
    (new,) = await phone.devices()
    assert new["id"] != old["id"]
