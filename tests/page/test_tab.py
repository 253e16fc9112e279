"""The tab: hidden, reloaded, in another language, without storage; nothing in it jumps."""

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.page.conftest import DESKTOP, PHONE, OpenPage
from tests.page.pictures import a_code, a_device, a_qr, deadline
from tests.page.server import Script
from tests.page.test_endings import HIDE


def test_a_tab_hidden_for_five_minutes_wakes_to_the_present(open_page: OpenPage, script: Script) -> None:
    page = open_page(DESKTOP)
    page.clock.install()
    script.become("awaiting_phone", attempt=1, method="qr", qr=a_qr(), deadline=deadline())
    page.goto(f"{script.url}/link#the-token")
    expect(page.get_by_test_id("qr")).to_be_visible()
    page.evaluate(HIDE, True)
    page.clock.fast_forward("05:00")
    # What happened meanwhile did not reach the sleeping tab: the server only knows it.
    script.snapshot |= {"state": "linked", "seq": 9, "device": a_device(), "qr": None}
    page.evaluate(HIDE, False)
    expect(page.get_by_test_id("device")).to_be_visible()
    expect(page.locator("main")).to_have_attribute("data-listeners", "1")
    script.wait(lambda: len(script._sockets) == 1, "the old socket's end")
    assert script.commands() == []


def test_a_hidden_tab_whose_qr_died_is_not_renewed_until_it_is_seen(open_page: OpenPage, script: Script) -> None:
    page = open_page(DESKTOP)
    page.clock.install()
    script.become("awaiting_phone", attempt=1, method="qr", qr=a_qr(), deadline=deadline())
    page.goto(f"{script.url}/link#the-token")
    expect(page.get_by_test_id("qr")).to_be_visible()
    page.evaluate(HIDE, True)
    page.clock.fast_forward("05:00")
    script.become("expired", attempt=1)
    expect(page.locator("main")).to_have_attribute("data-state", "expired")
    assert script.commands() == []
    page.evaluate(HIDE, False)
    script.wait_command("request-qr")


def test_the_token_leaves_the_address_bar_and_survives_a_refresh(desktop: Page, script: Script) -> None:
    assert desktop.url == f"{script.url}/link"
    desktop.reload()
    script.wait_open(2)
    assert [message["token"] for message in script.heard if message["type"] == "hello"] == ["the-token"] * 2


def test_another_link_pasted_into_the_tab_is_taken(desktop: Page, script: Script) -> None:
    desktop.goto(f"{script.url}/link#another-token")
    script.wait(lambda: any(message.get("token") == "another-token" for message in script.heard), "the other token")
    expect(desktop).to_have_url(f"{script.url}/link")


def test_with_storage_forbidden_the_page_works_and_only_forgets(open_page: OpenPage, script: Script) -> None:
    page = open_page(DESKTOP)
    page.add_init_script("""for (const name of ["localStorage", "sessionStorage"]) Object.defineProperty(
        window, name, {get() { throw new DOMException("no", "SecurityError"); }});""")
    page.goto(f"{script.url}/link#the-token")
    script.wait_command("request-qr")
    page.get_by_test_id("locale").select_option("es")
    expect(page.locator("h1")).to_have_text("Vincular WhatsApp")


def test_the_language_is_the_chosen_one_then_the_links_then_the_browsers(open_page: OpenPage, script: Script) -> None:
    page = open_page(PHONE, locale="pt-PT")
    page.goto(f"{script.url}/link#the-token")
    expect(page.locator("html")).to_have_attribute("lang", "pt-BR")
    script.profile["locale"] = "es"
    page.reload()
    expect(page.locator("h1")).to_have_text("Vincular WhatsApp")
    page.get_by_test_id("locale").select_option("ru")
    expect(page.locator("h1")).to_have_text("Привязка WhatsApp")
    page.reload()
    expect(page.locator("h1")).to_have_text("Привязка WhatsApp")
    expect(page.locator("html")).to_have_attribute("lang", "ru")


def test_right_to_left_turns_the_page_round_but_no_number(open_page: OpenPage, script: Script) -> None:
    page = open_page(PHONE)
    page.goto(f"{script.url}/link#the-token")
    page.wait_for_selector("main[data-link=ready]")

    def places() -> list[bool]:
        """Whether the mark is left of the menu of languages, and the country of the number."""
        pairs = [("[data-part=mark]", "[data-part=locale]"), ("[data-part=chip]", "[data-part=phone]")]
        boxes = [[page.locator(one).bounding_box() for one in pair] for pair in pairs]
        return [one is not None and other is not None and one["x"] < other["x"] for one, other in boxes]

    names = page.get_by_test_id("locale").locator("option").all_inner_texts()
    assert len(names) == 14
    assert {"Deutsch", "العربية", "עברית", "हिन्दी", "Қазақша"} <= set(names)
    assert places() == [True, True]
    for language, direction in [("ar", "rtl"), ("he", "rtl"), ("de", "ltr")]:
        page.get_by_test_id("locale").select_option(language)
        expect(page.locator("html")).to_have_attribute("dir", direction)
        assert places() == [direction == "ltr", True]
    page.get_by_test_id("locale").select_option("he")
    page.get_by_test_id("phone").fill("+972501234567")
    expect(page.get_by_test_id("phone-reads")).to_contain_text("\u2068+972")
    script.become("awaiting_phone", attempt=1, method="code", code=a_code(), deadline=deadline())
    expect(page.get_by_test_id("code")).to_have_css("direction", "ltr")


@pytest.mark.parametrize("screen", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_nothing_jumps_when_states_change(open_page: OpenPage, script: Script, screen: dict[str, Any]) -> None:
    page = open_page(screen)
    page.goto(f"{script.url}/link#the-token")
    page.wait_for_selector("main[data-link=ready]")
    if screen is PHONE:  # who has clicked has moved it: from then on nothing moves
        page.get_by_test_id("phone").fill("+79001234567")
        page.get_by_test_id("get-code").tap()
        expect(page.locator("main")).to_have_attribute("data-step", "code-wait")
    page.evaluate("""() => {
        window.shifts = [];
        new PerformanceObserver((list) => {
            for (const entry of list.getEntries()) window.shifts.push(entry.value);
        }).observe({type: "layout-shift", buffered: false});
    }""")
    work = page.locator(".work")
    boxes = []
    method = "code" if screen is PHONE else "qr"
    stages: list[tuple[str, dict[str, Any]]] = [
        ("queued", {"queue": {"position": 2}}),
        ("connecting", {}),
        ("awaiting_phone", {"qr": a_qr(), **({"code": a_code()} if screen is PHONE else {})}),
        ("awaiting_phone", {"qr": a_qr(number=2), **({"code": a_code()} if screen is PHONE else {})}),
        ("linking", {}),
        ("linked", {"device": a_device()}),
    ]
    for state, parts in stages:
        script.become(state, attempt=1, method=method, deadline=deadline(), **parts)
        expect(page.locator("main")).to_have_attribute("data-seq", str(script.snapshot["seq"]))
        boxes.append(page.locator(".panel").bounding_box())
    assert boxes == [boxes[0]] * len(boxes), "\n".join(map(str, boxes))
    assert work.is_visible()
    assert sum(page.evaluate("window.shifts")) < 0.1
