"""Both ways to the end, as people go them."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.page.conftest import DESKTOP, PHONE, OpenPage, stand_still
from tests.page.pictures import QR_TEXT, a_code, a_device, a_qr, deadline, read_qr
from tests.page.server import Script


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 360, 1280])
def test_the_qr_can_be_read_from_the_screen(
    open_page: OpenPage, script: Script, complaints: list[str], width: int, theme: str
) -> None:
    page = open_page(viewport={"width": width, "height": 800}, color_scheme=theme)
    script.become("awaiting_phone", "qr-update", method="qr", qr=a_qr(), deadline=deadline())
    page.goto(f"{script.url}/link#the-token")
    picture = page.get_by_test_id("qr")
    expect(picture).to_be_visible()
    picture.evaluate("(picture) => picture.decode()")
    assert (read_qr(page.screenshot()) or read_qr(picture.screenshot())) == QR_TEXT
    box = picture.bounding_box()
    assert box is not None
    assert box["width"] >= 240
    assert box["height"] == box["width"]


def test_a_dead_qr_is_veiled_and_cannot_be_read(desktop: Page, script: Script) -> None:
    script.become("awaiting_phone", "qr-update", attempt=1, method="qr", qr=a_qr(seconds=0.2), deadline=deadline())
    expect(desktop.get_by_test_id("retry")).to_be_visible()
    expect(desktop.get_by_test_id("qr")).to_be_visible()
    assert read_qr(desktop.screenshot()) == ""


def test_a_desktop_starts_with_the_qr_and_goes_through_every_stage(desktop: Page, script: Script) -> None:
    main = desktop.locator("main")
    script.become("queued", attempt=1, method="qr", deadline=deadline(), queue={"position": 3})
    expect(desktop.get_by_text("3 people ahead of you, about 3 min.", exact=True)).to_be_visible()
    script.become("connecting", attempt=1, method="qr", deadline=deadline())
    expect(main).to_have_attribute("data-step", "prepare")
    script.become("awaiting_phone", "qr-update", attempt=1, method="qr", qr=a_qr(seconds=49), deadline=deadline())
    expect(desktop.get_by_test_id("countdown")).to_have_text(re.compile(r"New code in 0:4\d"))
    script.become("linking", attempt=1, method="qr", deadline=deadline())
    expect(desktop.get_by_role("heading", name="Your phone agreed")).to_be_visible()
    expect(desktop.get_by_test_id("cancel")).to_be_hidden()
    script.become("linked", "whatsapp-connected", attempt=1, device=a_device())
    expect(desktop.get_by_test_id("device")).to_contain_text("45 67")
    expect(desktop.get_by_test_id("device")).to_contain_text("Bookwell")
    expect(desktop.get_by_test_id("return")).to_have_attribute("href", "https://bookwell.example/settings")
    expect(desktop).to_have_title("Linked · Link WhatsApp · Bookwell")
    assert script.commands() == [{"type": "request-qr"}]


def test_a_phone_starts_with_the_number_and_asks_for_nothing_by_itself(phone: Page, script: Script) -> None:
    expect(phone.get_by_test_id("phone")).to_be_visible()
    assert script.commands() == []


def test_the_expected_number_is_filled_in(open_page: OpenPage, script: Script) -> None:
    script.profile["phoneHint"] = "+79001234567"
    page = open_page(PHONE)
    page.goto(f"{script.url}/link#the-token")
    expect(page.get_by_test_id("phone")).to_have_value("+7 900 123-45-67")
    page.get_by_test_id("get-code").tap()
    assert script.wait_command("request-pairing-code")["phoneNumber"] == "+79001234567"


def test_three_rapid_clicks_send_one_message(desktop: Page, script: Script) -> None:
    desktop.get_by_test_id("switch-method").click()
    desktop.get_by_test_id("phone").fill("9001234567")
    # The QR that the page asked for by itself is still under way: this answers it.
    script.become("connecting", attempt=1, method="qr", deadline=deadline())
    expect(desktop.get_by_test_id("get-code")).to_be_enabled()
    desktop.get_by_test_id("get-code").evaluate("(button) => { button.click(); button.click(); button.click(); }")
    script.wait_command("request-pairing-code")
    script.become(
        "awaiting_phone", "pairing-code", attempt=1, method="code", code=a_code(), qr=a_qr(), deadline=deadline()
    )
    expect(desktop.get_by_test_id("code")).to_have_text("ABCD-EFGH")
    # The cancel is the mark that nothing else has been sent before it.
    desktop.get_by_test_id("cancel").evaluate("(button) => { button.click(); button.click(); button.click(); }")
    script.wait_command("cancel")
    script.become("cancelled", attempt=1)
    desktop.get_by_test_id("get-code").click()
    script.wait_command("request-pairing-code", 2)
    kinds = [command["type"] for command in script.commands()]
    assert kinds == ["request-qr", "request-pairing-code", "cancel", "request-pairing-code"]


def test_turning_to_the_other_way_loses_nothing(desktop: Page, script: Script) -> None:
    qr, code = a_qr(seconds=59), a_code(seconds=179)
    script.become("awaiting_phone", "pairing-code", attempt=1, method="code", qr=qr, code=code, deadline=deadline())
    expect(desktop.get_by_test_id("code")).to_have_text("ABCD-EFGH")
    for _ in range(3):
        desktop.get_by_test_id("switch-method").click()
        expect(desktop.get_by_test_id("qr")).to_be_visible()
        expect(desktop.get_by_test_id("countdown")).to_have_text(re.compile(r"New code in 0:[2-5]\d"))
        desktop.get_by_test_id("switch-method").click()
        expect(desktop.get_by_test_id("code")).to_have_text("ABCD-EFGH")
        expect(desktop.get_by_test_id("countdown")).to_have_text(re.compile(r"Valid for 2:\d\d"))
    assert script.commands() == [{"type": "request-qr"}]


def test_when_no_code_can_be_had_the_page_turns_to_the_qr_and_says_why(desktop: Page, script: Script) -> None:
    script.become("awaiting_phone", "qr-update", attempt=1, method="qr", qr=a_qr(), deadline=deadline())
    desktop.get_by_test_id("switch-method").click()
    desktop.get_by_test_id("phone").fill("+7 900 123-45-67")
    desktop.get_by_test_id("get-code").click()
    script.wait_command("request-pairing-code")
    failure = {"code": "whatsapp-rate-limited", "retryable": True, "retryAt": None}
    script.become(
        "awaiting_phone",
        "pairing-code-error",
        attempt=1,
        method="code",
        qr=a_qr(),
        failure=failure,
        deadline=deadline(),
    )
    expect(desktop.get_by_test_id("qr")).to_be_visible()
    expect(desktop.get_by_test_id("notice")).to_contain_text("WhatsApp isn’t giving out codes right now")
    # The next QR does not make the page forget why; going back to the number is possible.
    script.become(
        "awaiting_phone", "qr-update", attempt=1, method="code", qr=a_qr(number=2), failure=failure, deadline=deadline()
    )
    expect(desktop.get_by_test_id("notice")).to_contain_text("WhatsApp isn’t giving out codes right now")
    desktop.get_by_test_id("switch-method").click()
    expect(desktop.get_by_test_id("phone")).to_have_value("+7 900 123-45-67")


def test_a_refused_code_turns_to_the_qr_too(phone: Page, script: Script) -> None:
    phone.get_by_test_id("phone").fill("9001234567")
    phone.get_by_test_id("get-code").tap()
    script.wait_command("request-pairing-code")
    script.refuse("code-not-available")
    expect(phone.get_by_test_id("notice")).to_contain_text("No code for this number. Here is the QR code instead.")
    phone.get_by_test_id("show-qr").tap()
    script.wait_command("request-qr")


def test_the_server_has_the_last_word_on_a_number(phone: Page, script: Script) -> None:
    phone.get_by_test_id("phone").fill("+7 111 111 11 11")
    phone.get_by_test_id("get-code").tap()
    script.wait_command("request-pairing-code")
    script.refuse("invalid-phone", field="phoneNumber")
    expect(phone.get_by_test_id("phone-error")).to_have_text("Check the number and the country.")
    expect(phone.get_by_test_id("phone")).to_be_focused()
    expect(phone.get_by_test_id("phone")).to_have_attribute("aria-invalid", "true")
    # It goes when the number is changed, and a second refusal is told again.
    phone.get_by_test_id("phone").press("Backspace")
    expect(phone.get_by_test_id("phone-error")).to_have_text("")
    phone.get_by_test_id("get-code").tap()
    script.wait_command("request-pairing-code", 2)
    script.refuse("wrong-number", field="phoneNumber")
    expect(phone.get_by_test_id("phone-error")).to_contain_text("This link is for another number.")


@pytest.mark.parametrize(
    ("typed", "told"),
    [("", "Enter the number"), ("abc123", "no letters"), ("8900", "digits are missing"), ("1" * 20, "too many digits")],
)
def test_a_mistake_is_told_beside_the_field_before_anything_is_sent(
    phone: Page, script: Script, typed: str, told: str
) -> None:
    phone.get_by_test_id("phone").fill(typed)
    phone.get_by_test_id("get-code").tap()
    expect(phone.get_by_test_id("phone-error")).to_contain_text(told)
    expect(phone.get_by_test_id("phone")).to_be_focused()
    assert script.commands() == []


def test_the_code_is_copied_without_its_dash_and_then_whatsapp_is_opened(open_page: OpenPage, script: Script) -> None:
    page = open_page(PHONE, permissions=["clipboard-read", "clipboard-write"])
    qr, code = a_qr(), a_code()
    script.become("awaiting_phone", "pairing-code", method="code", code=code, qr=qr, deadline=deadline())
    page.goto(f"{script.url}/link#the-token")
    copy = page.get_by_test_id("copy")
    expect(copy).to_be_visible()
    place = copy.bounding_box()
    copy.tap()
    # In its place stands what comes next, and it has the focus.
    opened = page.get_by_test_id("open-app")
    expect(opened).to_have_text("Open WhatsApp")
    expect(opened).to_have_attribute("href", "https://wa.me/settings/linked_devices")
    expect(copy).to_be_hidden()
    box = opened.bounding_box()
    assert place is not None
    assert box is not None
    assert box["y"] == place["y"]
    assert page.evaluate("navigator.clipboard.readText()") == "ABCDEFGH"
    # It stays as long as that code does.
    script.repeat()
    expect(opened).to_be_visible()
    fresh = {"code": a_code(text="WXYZ-1234"), "qr": qr, "deadline": deadline()}
    script.become("awaiting_phone", "pairing-code", method="code", **fresh)
    expect(page.get_by_test_id("code")).to_have_text("WXYZ-1234")
    expect(copy).to_have_text("Copy")


def test_on_a_desktop_a_copied_code_says_so_and_can_be_copied_again(open_page: OpenPage, script: Script) -> None:
    page = open_page(DESKTOP, permissions=["clipboard-read", "clipboard-write"])
    page.clock.install()
    script.become("awaiting_phone", "pairing-code", method="code", code=a_code(), qr=a_qr(), deadline=deadline())
    page.goto(f"{script.url}/link#the-token")
    expect(page.get_by_test_id("copy")).to_be_visible()
    stand_still(page)
    page.get_by_test_id("copy").click()
    expect(page.get_by_test_id("copy")).to_have_text("Copied")
    expect(page.get_by_test_id("open-app")).to_be_hidden()
    page.clock.run_for(2_000)
    expect(page.get_by_test_id("copy")).to_have_text("Copy")


def test_what_a_phone_cannot_do_with_itself_comes_last(phone: Page, script: Script) -> None:
    script.become("awaiting_phone", "pairing-code", method="code", code=a_code(), qr=a_qr(), deadline=deadline())
    order = [
        phone.get_by_test_id("code"),
        phone.get_by_test_id("copy"),
        phone.locator(".steps"),
        phone.get_by_test_id("switch-method"),
    ]
    expect(order[0]).to_be_visible()
    tops = [box["y"] for one in order if (box := one.bounding_box())]
    assert len(tops) == len(order)
    assert tops == sorted(tops)


def test_the_menus_are_those_of_the_chosen_app(desktop: Page, script: Script) -> None:
    guide = desktop.locator(".guide")
    desktop.get_by_label("iPhone").check()
    expect(guide).to_contain_text("Tap Settings or your photo at the bottom, then Linked Devices")
    desktop.get_by_label("Business").check()
    expect(guide).to_contain_text("Open WhatsApp Business")


def test_a_link_without_a_token_says_so(open_page: OpenPage, script: Script) -> None:
    page = open_page(DESKTOP)
    page.goto(f"{script.url}/link")
    expect(page.get_by_test_id("title")).to_have_text("This link isn’t complete")
    assert script.heard == []
