"""A number may be mistyped and still be a number: it can be changed as long as the phone has not agreed."""

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.page.conftest import PHONE, OpenPage
from tests.page.pictures import a_code, a_device, a_qr, deadline
from tests.page.server import Script


def shows_a_code(phone: Page, script: Script, **parts: Any) -> None:
    """A number was given, perhaps a wrong one, and its code is on the screen."""
    phone.get_by_test_id("phone").fill("+79001234567")
    phone.get_by_test_id("get-code").tap()
    script.wait_command("request-pairing-code")
    code = {"code": a_code(), **parts}
    script.become("awaiting_phone", "pairing-code", attempt=1, method="code", qr=a_qr(), deadline=deadline(), **code)
    expect(phone.locator("main")).to_have_attribute("data-attempt", "1")


@pytest.mark.parametrize(
    ("step", "parts"), [("code", {}), ("code-over", {"code": a_code(seconds=-1)}), ("code-wait", {"code": None})]
)
def test_a_mistyped_number_is_changed(phone: Page, script: Script, step: str, parts: dict[str, Any]) -> None:
    shows_a_code(phone, script, **parts)
    expect(phone.locator("main")).to_have_attribute("data-step", step)
    phone.get_by_test_id("change-number").tap()
    script.wait_command("cancel")
    script.become("cancelled", attempt=1)
    field = phone.get_by_test_id("phone")
    expect(field).to_be_focused()
    expect(field).to_have_value("+7 900 123-45-67")
    field.fill("+79007654321")
    phone.get_by_test_id("get-code").tap()
    assert script.wait_command("request-pairing-code", 2)["phoneNumber"] == "+79007654321"


def test_after_a_code_was_cancelled_the_number_is_asked_for_again(phone: Page, script: Script) -> None:
    shows_a_code(phone, script)
    phone.get_by_test_id("cancel").tap()
    script.wait_command("cancel")
    script.become("cancelled", attempt=1)
    expect(phone.get_by_test_id("phone")).to_have_value("+7 900 123-45-67")
    expect(phone.locator(".lead")).to_have_text("Cancelled. Nothing has been linked.")
    phone.get_by_test_id("get-code").tap()
    script.wait_command("request-pairing-code", 2)


def test_a_phone_that_agrees_meanwhile_keeps_its_number(phone: Page, script: Script) -> None:
    shows_a_code(phone, script)
    phone.get_by_test_id("change-number").tap()
    script.wait_command("cancel")
    script.become("linking", attempt=1, method="code", deadline=deadline())
    script.become("linked", "whatsapp-connected", attempt=1, device=a_device())
    expect(phone.get_by_test_id("device")).to_be_visible()
    assert [command["type"] for command in script.commands()] == ["request-pairing-code", "cancel"]


def test_a_new_code_after_a_refresh_asks_for_the_number_first(phone: Page, script: Script) -> None:
    shows_a_code(phone, script, code=a_code(seconds=-1))
    phone.reload()
    phone.get_by_test_id("retry").tap()
    script.wait_command("cancel")
    script.become("cancelled", attempt=1)
    expect(phone.get_by_test_id("phone")).to_be_focused()


def test_a_code_asked_for_in_the_queue_is_waited_for_and_can_be_cancelled(open_page: OpenPage, script: Script) -> None:
    page = open_page(PHONE)
    page.clock.install()
    script.become("queued", attempt=1, method="qr", deadline=deadline(), queue={"position": 3})
    page.goto(f"{script.url}/link#the-token")
    page.get_by_test_id("phone").fill("+79001234567")
    page.get_by_test_id("get-code").tap()
    script.wait_command("request-pairing-code")
    script.repeat()
    script.repeat()
    script.become("connecting", attempt=1, method="qr", deadline=deadline())
    expect(page.locator("main")).to_have_attribute("data-state", "connecting")
    page.clock.fast_forward("00:20")
    expect(page.locator("main")).to_have_attribute("data-step", "code-wait")
    page.get_by_test_id("cancel").tap()
    script.wait_command("cancel")
    assert len(script.commands()) == 2
