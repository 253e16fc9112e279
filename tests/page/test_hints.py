"""What the page says beside the work: a hint when scans seem to fail, when it goes on, what troubles a linked device."""

import re

from playwright.sync_api import Page, expect

from tests.page.conftest import DESKTOP, OpenPage
from tests.page.pictures import a_device, a_qr, deadline
from tests.page.server import Script, now

HOUR = 3_600_000


def test_after_three_qrs_a_fresh_attempt_and_the_code_are_offered(desktop: Page, script: Script) -> None:
    script.become("awaiting_phone", "qr-update", attempt=1, method="qr", qr=a_qr(number=3), deadline=deadline())
    expect(desktop.get_by_test_id("fresh")).to_be_hidden()
    script.become(
        "awaiting_phone", "qr-update", attempt=1, method="qr", qr=a_qr(number=4), deadline=deadline(), hint="no-answer"
    )
    expect(desktop.get_by_test_id("notice")).to_contain_text("couldn’t link")
    expect(desktop.get_by_test_id("qr")).to_be_visible()
    expect(desktop.get_by_test_id("switch-method")).to_be_visible()
    asked = len([command for command in script.commands() if command["type"] == "request-qr"])
    desktop.get_by_test_id("fresh").click()
    script.wait_command("cancel")
    script.become("cancelled", attempt=1)
    script.wait_command("request-qr", asked + 1)


def test_a_phone_that_agrees_meanwhile_is_not_taken_back(desktop: Page, script: Script) -> None:
    script.become(
        "awaiting_phone", "qr-update", attempt=1, method="qr", qr=a_qr(number=4), deadline=deadline(), hint="no-answer"
    )
    asked = len([command for command in script.commands() if command["type"] == "request-qr"])
    desktop.get_by_test_id("fresh").click()
    script.wait_command("cancel")
    script.become("linking", attempt=1, method="qr", deadline=deadline())
    script.become("linked", "whatsapp-connected", attempt=1, device=a_device())
    expect(desktop.locator("main")).to_have_attribute("data-state", "linked")
    assert len([command for command in script.commands() if command["type"] == "request-qr"]) == asked


def test_a_fresh_attempt_that_was_not_answered_is_forgotten(open_page: OpenPage, script: Script) -> None:
    page = open_page(DESKTOP)
    page.clock.install()
    # Two minutes old, as the QR of an attempt that nobody has answered would be.
    parts = {"method": "qr", "qr": a_qr(number=4, seconds=120), "deadline": deadline(150), "hint": "no-answer"}
    script.become("awaiting_phone", "qr-update", attempt=1, **parts)
    page.goto(f"{script.url}/link#the-token")
    page.get_by_test_id("fresh").click()
    script.wait_command("cancel")
    page.clock.fast_forward("00:09")
    script.wait_command("cancel", 2)
    page.clock.fast_forward("00:09")
    expect(page.get_by_test_id("notice")).to_contain_text("No answer yet")
    page.get_by_test_id("cancel").click()
    script.wait_command("cancel", 3)
    script.become("cancelled", attempt=1)
    expect(page.locator("main")).to_have_attribute("data-step", "cancelled")
    assert {command["type"] for command in script.commands()} == {"cancel"}


def test_a_number_that_another_company_links_is_told_so(phone: Page, script: Script) -> None:
    phone.get_by_test_id("phone").fill("+79001234567")
    phone.get_by_test_id("get-code").click()
    script.wait_command("request-pairing-code")
    script.refuse("in-progress", retry_at=now() + 60_000)
    expect(phone.get_by_test_id("notice")).to_have_text(
        "This number is being linked somewhere else right now. You can continue once that ends."
    )
    expect(phone.get_by_test_id("get-code")).to_be_disabled()


def test_when_only_the_code_is_taken_elsewhere_the_qr_says_so(phone: Page, script: Script) -> None:
    failure = {"code": "in-progress", "retryable": True, "retryAt": now() + 60_000}
    script.become(
        "awaiting_phone",
        "pairing-code-error",
        attempt=1,
        method="code",
        qr=a_qr(),
        failure=failure,
        deadline=deadline(),
    )
    expect(phone.get_by_test_id("qr")).to_be_visible()
    expect(phone.get_by_test_id("notice")).to_contain_text("This number is being linked somewhere else")


def test_a_wait_of_days_is_told_by_its_day_and_time(desktop: Page, script: Script) -> None:
    failure = {"code": "temporarily-banned", "retryable": True, "retryAt": now() + 50 * HOUR}
    script.become("failed", attempt=1, failure=failure)
    expect(desktop.get_by_test_id("countdown")).to_have_text(re.compile(r"You can continue: .*\d"))
    expect(desktop.get_by_test_id("countdown")).not_to_have_text(re.compile(r"\d{3,}:"))
    expect(desktop.get_by_test_id("retry")).to_be_disabled()


def test_what_keeps_a_linked_device_away_is_said(desktop: Page, script: Script) -> None:
    failure = {"code": "client-outdated", "retryable": False}
    script.become("reconnecting", attempt=1, device=a_device(), failure=failure)
    expect(desktop.locator("main")).to_have_attribute("data-step", "reconnecting")
    expect(desktop.locator(".lead")).to_have_text(
        "We need to update something. The connection to WhatsApp was lost. It comes back by itself."
    )


def test_a_cool_down_is_told_with_its_time_and_the_form_waits_for_it(phone: Page, script: Script) -> None:
    phone.clock.install()
    phone.reload()
    phone.get_by_test_id("phone").fill("+79001234567")
    phone.get_by_test_id("get-code").click()
    script.wait_command("request-pairing-code")
    script.refuse("cool-down", retry_at=now() + 29_000)
    expect(phone.get_by_test_id("notice")).to_contain_text("Time for a short break")
    expect(phone.get_by_test_id("countdown")).to_have_text(re.compile(r"You can continue in 0:[12]\d"))
    expect(phone.get_by_test_id("get-code")).to_be_disabled()
    phone.clock.run_for(29_000)
    expect(phone.get_by_test_id("get-code")).to_be_enabled()
