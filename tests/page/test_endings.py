"""Every ending has a way on; nothing spins for ever; the page helps itself only while somebody looks."""

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from shared.core.failures import FAILURES, Act, FailureCode
from shared.core.reference import reference_of
from tests.page.conftest import DESKTOP, PHONE, OpenPage, stand_still
from tests.page.pictures import a_code, a_device, a_qr, deadline
from tests.page.server import Script, now

HIDE = """(hidden) => {
    Object.defineProperty(document, "visibilityState", {configurable: true, get: () => hidden ? "hidden" : "visible"});
    document.dispatchEvent(new Event("visibilitychange"));
}"""

MAIN_BUTTON = {
    Act.RETRY: "retry",
    Act.WAIT: "retry",
    Act.USE_QR: "show-qr",
    Act.FIX_PHONE: "fix-phone",
    Act.NEW_LINK: "return",
    Act.SUPPORT: "support",
}


def attempt_runs_out(script: Script, attempt: int) -> None:
    """A QR is shown, and nobody scans it."""
    script.become("awaiting_phone", "qr-update", attempt=attempt, method="qr", qr=a_qr(), deadline=deadline())
    script.become("expired", attempt=attempt)


def test_every_failure_offers_its_next_act(desktop: Page, script: Script) -> None:
    for attempt, code in enumerate(FailureCode, start=1):
        script.become("failed", attempt=attempt, failure={"code": code.value, "retryable": FAILURES[code].retryable})
        expect(desktop.locator("main")).to_have_attribute("data-attempt", str(attempt))
        expect(desktop.locator("main")).to_have_attribute("data-failure", code.value)
        expect(desktop.get_by_test_id(MAIN_BUTTON[FAILURES[code].act])).to_be_enabled()
        expect(desktop.locator(".button.main:visible")).to_have_count(1)
        expect(desktop.get_by_test_id("reference")).to_have_text(
            f"For support: {reference_of('company_aurora', attempt)}"
        )


def test_the_reference_for_support_is_copied(open_page: OpenPage, script: Script) -> None:
    page = open_page(DESKTOP, permissions=["clipboard-read", "clipboard-write"])
    page.clock.install()
    script.become("failed", attempt=3, failure={"code": "passkey-required", "retryable": False})
    page.goto(f"{script.url}/link#the-token")
    expect(page.get_by_test_id("support")).to_be_visible()
    stand_still(page)
    page.get_by_test_id("support").click()
    expect(page.get_by_test_id("support")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == f"For support: {reference_of('company_aurora', 3)}"


def test_a_retry_waits_for_its_moment(desktop: Page, script: Script) -> None:
    desktop.clock.install()
    desktop.reload()
    failure = {"code": "cool-down", "retryable": True, "retryAt": now() + 29_000}
    script.become("failed", attempt=1, failure=failure)
    expect(desktop.get_by_test_id("retry")).to_be_disabled()
    expect(desktop.get_by_test_id("countdown")).to_have_text(re.compile(r"You can continue in 0:[12]\d"))
    desktop.clock.run_for(29_000)
    expect(desktop.get_by_test_id("retry")).to_be_enabled()
    desktop.get_by_test_id("retry").click()
    script.wait_command("request-qr", 2)


def test_a_qr_that_runs_out_is_renewed_twice_and_then_on_demand(desktop: Page, script: Script) -> None:
    attempt_runs_out(script, 1)
    script.wait_command("request-qr", 2)
    attempt_runs_out(script, 2)
    script.wait_command("request-qr", 3)
    attempt_runs_out(script, 3)
    button = desktop.get_by_test_id("retry")
    expect(button).to_have_text("Show a new code")
    assert len(script.commands()) == 3
    button.click()
    script.wait_command("request-qr", 4)
    # A click begins the count anew.
    attempt_runs_out(script, 4)
    script.wait_command("request-qr", 5)


def test_nothing_is_renewed_while_nobody_looks(desktop: Page, script: Script) -> None:
    desktop.evaluate(HIDE, True)
    attempt_runs_out(script, 1)
    expect(desktop.locator("main")).to_have_attribute("data-state", "expired")
    assert len(script.commands()) == 1
    desktop.evaluate(HIDE, False)
    script.wait_command("request-qr", 2)


def test_a_desktop_tab_in_the_background_starts_nothing(open_page: OpenPage, script: Script) -> None:
    page = open_page(DESKTOP)
    page.add_init_script(
        "Object.defineProperty(document, 'visibilityState', {configurable: true, get: () => 'hidden'})"
    )
    page.goto(f"{script.url}/link#the-token")
    expect(page.get_by_test_id("show-qr")).to_be_visible()
    assert script.commands() == []
    page.evaluate(HIDE, False)
    script.wait_command("request-qr")


def test_a_code_is_never_renewed_by_itself(phone: Page, script: Script) -> None:
    phone.get_by_test_id("phone").fill("9001234567")
    phone.get_by_test_id("get-code").tap()
    script.wait_command("request-pairing-code")
    script.become(
        "awaiting_phone", "pairing-code", attempt=1, method="code", code=a_code(), qr=a_qr(), deadline=deadline()
    )
    script.become("expired", attempt=1)
    expect(phone.get_by_test_id("retry")).to_have_text("Get a new code")
    assert len(script.commands()) == 1
    phone.get_by_test_id("retry").tap()
    script.wait_command("request-pairing-code", 2)


@pytest.mark.parametrize("state", ["queued", "connecting", "awaiting_phone", "linking"])
def test_after_the_deadline_the_page_offers_a_way_on(open_page: OpenPage, script: Script, state: str) -> None:
    page = open_page(DESKTOP)
    script.become(state, method="qr", deadline=now() - 4_500)
    page.goto(f"{script.url}/link#the-token")
    expect(page.get_by_test_id("title")).to_have_text("This is taking too long")
    page.get_by_test_id("retry").click()
    script.wait_command("request-qr")


def lose_the_socket(page: Page, script: Script) -> None:
    """Cut the socket and refuse every other, until `script.refusing` is None."""
    script.refusing = 1013
    script.cut(1001)
    expect(page.locator("main")).to_have_attribute("data-link", "lost")


def test_a_click_without_a_socket_is_not_answered_by_the_old_qr(open_page: OpenPage, script: Script) -> None:
    page = open_page(DESKTOP)
    script.become("awaiting_phone", attempt=1, method="qr", qr=a_qr(seconds=-2), deadline=deadline())
    page.goto(f"{script.url}/link#the-token")
    script.wait_open(2)  # another QR is owed, so the page has asked for it on a new socket
    expect(page.locator("main")).to_have_attribute("data-link", "ready")
    lose_the_socket(page, script)
    page.get_by_test_id("retry").click()
    assert script.commands() == []
    script.refusing = None
    script.wait_command("request-qr")


def test_a_click_without_a_socket_is_not_answered_by_the_old_code(phone: Page, script: Script) -> None:
    phone.get_by_test_id("phone").fill("9001234567")
    phone.get_by_test_id("get-code").tap()
    script.wait_command("request-pairing-code")
    parts: dict[str, Any] = {"code": a_code(seconds=-1), "qr": a_qr(), "deadline": deadline()}
    script.become("awaiting_phone", "pairing-code", attempt=1, method="code", **parts)
    expect(phone.locator("main")).to_have_attribute("data-step", "code-over")
    lose_the_socket(phone, script)
    phone.get_by_test_id("retry").tap()
    assert len(script.commands()) == 1
    script.refusing = None
    script.wait_command("request-pairing-code", 2)


def test_a_command_without_an_answer_does_not_hold_the_button(open_page: OpenPage, script: Script) -> None:
    page = open_page(PHONE)
    page.clock.install()
    page.goto(f"{script.url}/link#the-token")
    page.get_by_test_id("phone").fill("9001234567")
    page.get_by_test_id("get-code").tap()
    script.wait_command("request-pairing-code")
    expect(page.locator("main")).to_have_attribute("data-step", "code-wait")
    # A socket may be dead without knowing: the same goes out once more, on a new one.
    page.clock.fast_forward("00:09")
    script.wait_command("request-pairing-code", 2)
    expect(page.get_by_test_id("notice")).to_be_hidden()
    page.clock.fast_forward("00:09")
    expect(page.get_by_test_id("notice")).to_have_text("No answer yet. Try again.")
    expect(page.get_by_test_id("get-code")).to_be_enabled()


def test_support_is_a_link_where_there_is_one_and_the_reference_a_tap_away(open_page: OpenPage, script: Script) -> None:
    script.profile |= {"supportUrl": "https://bookwell.example/help", "privacyUrl": "https://bookwell.example/privacy"}
    page = open_page(PHONE, permissions=["clipboard-read", "clipboard-write"])
    page.clock.install()
    script.become("failed", attempt=3, failure={"code": "passkey-required", "retryable": False})
    page.goto(f"{script.url}/link#the-token")
    expect(page.get_by_test_id("return")).to_have_text("Contact support")
    expect(page.get_by_test_id("return")).to_have_attribute("href", "https://bookwell.example/help")
    stand_still(page)
    page.get_by_test_id("another").tap()
    expect(page.get_by_test_id("another")).to_have_text("Copied")
    assert reference_of("company_aurora", 3) in page.evaluate("navigator.clipboard.readText()")
    expect(page.get_by_test_id("privacy-link")).to_have_attribute("href", "https://bookwell.example/privacy")
    expect(page.get_by_test_id("support-link")).to_be_visible()


@pytest.mark.parametrize("made", ["qr", "code"])
def test_a_refresh_shows_the_same(open_page: OpenPage, script: Script, made: str) -> None:
    page = open_page(DESKTOP)
    parts = {"qr": a_qr(), "deadline": deadline()} | ({"code": a_code()} if made == "code" else {})
    stages: list[tuple[str, dict[str, Any]]] = [
        ("connecting", {"deadline": deadline()}),
        ("awaiting_phone", parts),
        ("linking", {"deadline": deadline()}),
        ("linked", {"device": a_device()}),
    ]
    page.goto(f"{script.url}/link#the-token")
    for state, more in stages:
        script.become(state, attempt=1, method=made, **more)
        expect(page.locator("main")).to_have_attribute("data-state", state)
        step, title = page.locator("main").get_attribute("data-step"), page.get_by_test_id("title").inner_text()
        page.reload()
        expect(page.locator("main")).to_have_attribute("data-state", state)
        expect(page.locator("main")).to_have_attribute("data-step", step or "")
        expect(page.get_by_test_id("title")).to_have_text(title)
    assert page.url == f"{script.url}/link"
