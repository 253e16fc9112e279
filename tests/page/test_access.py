"""The page without a mouse, without eyes, and without motion."""

import re

import pytest
from playwright.sync_api import Page, expect

from shared.core.failures import FAILURES
from tests.page.conftest import DESKTOP, PHONE, OpenPage
from tests.page.pictures import a_code, a_device, a_qr, deadline
from tests.page.server import Script, now
from tests.page.test_words import read


def tab_to(page: Page, test_id: str) -> None:
    """Press Tab until the element has the focus."""
    wanted = f"document.activeElement?.dataset.testid === '{test_id}'"
    for _ in range(25):
        if page.evaluate(wanted):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"the keyboard does not reach {test_id}")


def focused(page: Page) -> str | None:
    """The test id of what has the focus."""
    found: str | None = page.evaluate("document.activeElement?.dataset.testid ?? null")
    return found


def test_the_code_by_keyboard_alone(desktop: Page, script: Script) -> None:
    script.become("awaiting_phone", "qr-update", attempt=1, method="qr", qr=a_qr(), deadline=deadline())
    expect(desktop.get_by_test_id("qr")).to_be_visible()
    tab_to(desktop, "switch-method")
    desktop.keyboard.press("Enter")
    expect(desktop.get_by_test_id("title")).to_have_text("Your WhatsApp number")
    assert focused(desktop) == "title"
    tab_to(desktop, "phone")
    desktop.keyboard.type("89001234567")
    desktop.keyboard.press("Enter")
    assert script.wait_command("request-pairing-code")["phoneNumber"] == "+79001234567"
    assert focused(desktop) == "title"
    script.become(
        "awaiting_phone", "pairing-code", attempt=1, method="code", code=a_code(), qr=a_qr(), deadline=deadline()
    )
    expect(desktop.get_by_test_id("title")).to_have_text("Type this code into WhatsApp")
    assert focused(desktop) == "title"
    tab_to(desktop, "copy")
    tab_to(desktop, "cancel")
    desktop.keyboard.press("Space")
    script.wait_command("cancel")
    script.become("cancelled", attempt=1)
    tab_to(desktop, "get-code")
    desktop.keyboard.press("Enter")
    script.wait_command("request-pairing-code", 2)
    script.become("awaiting_phone", attempt=2, method="code", code=a_code(), qr=a_qr(), deadline=deadline())
    script.become("linking", attempt=2, method="code", deadline=deadline())
    script.become("linked", attempt=2, device=a_device())
    expect(desktop.get_by_test_id("title")).to_have_text("WhatsApp is linked")
    assert focused(desktop) == "title"
    desktop.keyboard.press("Tab")
    assert focused(desktop) == "return", "what is to be done comes first behind the heading"


def test_the_qr_by_keyboard_alone(phone: Page, script: Script) -> None:
    tab_to(phone, "switch-method")
    phone.keyboard.press("Enter")
    script.wait_command("request-qr")
    script.become("awaiting_phone", "qr-update", attempt=1, method="qr", qr=a_qr(), deadline=deadline())
    expect(phone.get_by_test_id("qr")).to_be_visible()
    assert focused(phone) == "title"
    script.become("expired", attempt=1)
    script.wait_command("request-qr", 2)
    script.become("failed", attempt=2, failure={"code": "connection-failed", "retryable": True})
    expect(phone.get_by_test_id("title")).to_have_text("WhatsApp can’t be reached")
    assert focused(phone) == "title"
    tab_to(phone, "retry")
    phone.keyboard.press("Enter")
    script.wait_command("request-qr", 3)


@pytest.mark.parametrize("state", ["form", "code", "linked-on-phone"])
def test_on_a_phone_the_focus_goes_from_top_to_bottom(open_page: OpenPage, script: Script, state: str) -> None:
    page = open_page(PHONE)
    page.goto(f"{script.url}/states?one#{state}:en")
    page.wait_for_selector("main[data-fixture]")
    tops: list[float] = []
    while len(tops) < 20:
        page.keyboard.press("Tab")
        top = page.evaluate(
            "document.hasFocus() && document.activeElement !== document.body ? "
            "document.activeElement.getBoundingClientRect().top + scrollY : -1"
        )
        if top < 0 or (tops and top == tops[0]):
            break
        tops.append(top)
    assert len(tops) > 2
    assert tops == sorted(tops)


def test_what_a_screen_reader_finds(desktop: Page, script: Script) -> None:
    script.become("awaiting_phone", "qr-update", attempt=1, method="qr", qr=a_qr(), deadline=deadline())
    expect(desktop.locator("main")).to_match_aria_snapshot("""
      - list "Progress":
        - listitem: Get ready
        - listitem: Your phone
      - region "Scan this with your phone":
        - heading "Scan this with your phone" [level=2]
        - img "QR code for WhatsApp. Can’t scan it? Choose “No camera? Link with a code”."
        - button "Cancel"
      - heading "How to link" [level=2]
      - list:
        - listitem: Open WhatsApp on your phone
        - listitem: Tap ⋮, then Linked devices
        - listitem: Tap Link a device
        - listitem: Point the phone at the QR code
      - group "Your app":
        - radio "Android" [checked]
        - radio "iPhone"
        - radio "Business"
      - button "No camera? Link with a code"
    """)
    script.become(
        "awaiting_phone", "pairing-code", attempt=1, method="code", code=a_code(), qr=a_qr(), deadline=deadline()
    )
    expect(desktop.get_by_role("region", name="Type this code into WhatsApp")).to_match_aria_snapshot("""
      - heading "Type this code into WhatsApp" [level=2]
      - paragraph: Only in WhatsApp on your own phone. Don’t send it to anyone.
      - paragraph: "Your code: A, B, C, D, E, F, G, H"
      - button "Copy"
    """)


def test_the_focus_is_left_alone_where_somebody_reads(desktop: Page, script: Script) -> None:
    script.become("awaiting_phone", "qr-update", attempt=1, method="qr", qr=a_qr(), deadline=deadline())
    desktop.get_by_test_id("locale").focus()
    script.become("linking", attempt=1, method="qr", deadline=deadline())
    expect(desktop.get_by_role("status")).to_contain_text("Your phone agreed")
    assert focused(desktop) == "locale"


def test_ears_hear_the_countdown_at_60_30_and_10_seconds_only(open_page: OpenPage, script: Script) -> None:
    page = open_page(DESKTOP)
    begins = now() / 1000
    page.clock.install(time=begins)
    page.clock.pause_at(begins + 60)  # so far off that it is still to come, however slow this is
    page.goto(f"{script.url}/link#the-token")
    page.clock.run_for(500)
    script.wait_open(1)
    code = a_code(seconds=70)
    script.become("awaiting_phone", attempt=1, method="code", code=code, deadline=deadline())
    expect(page.get_by_test_id("code")).to_be_visible()
    page.evaluate("""() => {
        window.said = [];
        const node = document.querySelector("[role=status]");
        new MutationObserver(() => window.said.push(node.textContent)).observe(node, {childList: true, characterData: true});
    }""")
    page.clock.run_for(68_000)
    expect(page.get_by_test_id("countdown")).to_have_text(re.compile(r"Valid for 0:0\d"))
    assert page.evaluate("window.said") == ["60 seconds left.", "30 seconds left.", "10 seconds left."]


def test_ears_hear_a_step_once(desktop: Page, script: Script) -> None:
    status = desktop.get_by_role("status")
    script.become("connecting", attempt=1, method="qr", deadline=deadline())
    expect(desktop.locator("main")).to_have_attribute("data-state", "connecting")
    desktop.evaluate("document.activeElement.blur()")
    script.become("awaiting_phone", "qr-update", attempt=1, method="qr", qr=a_qr(seconds=120), deadline=deadline())
    expect(desktop.get_by_test_id("title")).to_be_focused()
    expect(status).to_have_text("")
    # It is on the heading already: no focus moves, so nobody would hear of it.
    script.become("linking", attempt=1, method="qr", deadline=deadline())
    expect(status).to_have_text("Your phone agreed. Finishing. Keep WhatsApp open on your phone.")


def test_ears_hear_every_ending_wherever_the_focus_is(desktop: Page, script: Script) -> None:
    words, status = read("en"), desktop.get_by_role("status")
    desktop.get_by_test_id("locale").focus()
    for attempt, code in enumerate(FAILURES, start=1):
        script.become("connecting", attempt=attempt, method="qr", deadline=deadline())
        script.become("failed", attempt=attempt, failure={"code": code, "retryable": True})
        expect(status).to_have_text(f"{words[f'failure.{code}.title']}. {words[f'failure.{code}.text']}")
    script.become("connecting", attempt=99, method="qr", deadline=deadline())
    script.become("cancelled", attempt=99)
    expect(status).to_have_text("Cancelled. Nothing has been linked.")
    assert focused(desktop) == "locale"


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_nothing_moves_for_who_wishes_no_motion(open_page: OpenPage, script: Script, motion: str) -> None:
    page = open_page(DESKTOP, reduced_motion=motion)
    script.become("awaiting_phone", attempt=1, method="qr", qr=a_qr(), deadline=deadline())
    page.goto(f"{script.url}/link#the-token")
    expect(page.get_by_test_id("qr")).to_be_visible()
    script.become("linking", attempt=1, method="qr", deadline=deadline())
    expect(page.locator("main")).to_have_attribute("data-step", "linking")
    moving = page.evaluate("document.getAnimations().map((one) => one.animationName ?? one.transitionProperty)")
    assert (moving == []) is (motion == "reduce"), moving
