"""The wire, the clock and the tab: cut, wrong, hidden."""

import re
from typing import Any

import pytest
from playwright.sync_api import CDPSession, Page, expect

from tests.page.conftest import DESKTOP, PHONE, OpenPage
from tests.page.pictures import a_code, a_device, a_qr, deadline
from tests.page.server import Script, now
from tests.page.test_endings import HIDE


def counts(cdp: CDPSession) -> dict[str, int]:
    """Listeners and nodes in the page, after the garbage is gone."""
    cdp.send("HeapProfiler.collectGarbage")
    metrics = {row["name"]: int(row["value"]) for row in cdp.send("Performance.getMetrics")["metrics"]}
    return {name: metrics[name] for name in ("JSEventListeners", "Nodes")}


def test_cut_ten_times_there_is_one_listener_one_timer_and_no_growth(desktop: Page, script: Script) -> None:
    script.become("awaiting_phone", "qr-update", attempt=1, method="qr", qr=a_qr(seconds=120), deadline=deadline())
    expect(desktop.get_by_test_id("qr")).to_be_visible()
    cdp = desktop.context.new_cdp_session(desktop)
    cdp.send("Performance.enable")
    main = desktop.locator("main")

    def cut(number: int) -> None:
        script.cut(1012)
        script.wait_open(number + 1)
        expect(main).to_have_attribute("data-link", "ready")

    cut(1)
    before = counts(cdp)
    for number in range(2, 11):
        cut(number)
    after = counts(cdp)
    assert after["JSEventListeners"] <= before["JSEventListeners"]
    assert after["Nodes"] <= before["Nodes"] + 5
    expect(main).to_have_attribute("data-listeners", "1")
    expect(main).to_have_attribute("data-timers", "1")
    assert len(script._sockets) == 1
    assert script.commands() == [{"type": "request-qr"}]
    expect(desktop.get_by_test_id("toast")).to_be_hidden()


def test_a_cut_is_said_only_when_it_lasts(open_page: OpenPage, script: Script) -> None:
    page = open_page(DESKTOP)
    page.clock.install()
    script.become("awaiting_phone", method="qr", qr=a_qr(), deadline=deadline())
    page.goto(f"{script.url}/link#the-token")
    expect(page.get_by_test_id("qr")).to_be_visible()
    page.clock.pause_at((now() + 2_000) / 1000)  # or it would come back by itself before the button is pressed
    script.refusing = 1012
    script.cut(1012)
    expect(page.locator("main")).to_have_attribute("data-link", "lost")
    expect(page.get_by_test_id("toast")).to_be_hidden()
    page.clock.run_for(3_500)
    expect(page.get_by_test_id("toast")).to_contain_text("Connection lost.")
    expect(page.get_by_test_id("qr")).to_be_visible()
    script.refusing = None
    page.get_by_role("button", name="Try now").click()
    expect(page.get_by_test_id("toast")).to_be_hidden()


def test_offline_is_told_and_going_online_connects_at_once(desktop: Page, script: Script) -> None:
    script.become("awaiting_phone", "qr-update", attempt=1, method="qr", qr=a_qr(), deadline=deadline())
    desktop.context.set_offline(True)
    script.cut(1012)
    expect(desktop.get_by_test_id("toast")).to_contain_text("You’re offline.")
    desktop.context.set_offline(False)
    expect(desktop.get_by_test_id("toast")).to_be_hidden()
    script.wait_open(2)


def test_a_final_close_ends_the_page(desktop: Page, script: Script) -> None:
    script.cut(4401)
    expect(desktop.get_by_test_id("title")).to_have_text("This link no longer works")
    expect(desktop.locator("main")).to_have_attribute("data-link", "closed")


@pytest.mark.parametrize("code", [1001, 1009, 1012, 4408])
def test_any_other_close_is_mended(desktop: Page, script: Script, code: int) -> None:
    script.cut(code)
    script.wait_open(2)
    expect(desktop.locator("main")).to_have_attribute("data-link", "ready")


def test_too_many_pages_are_told_and_tried_again_slowly(open_page: OpenPage, script: Script) -> None:
    page = open_page(DESKTOP)
    page.clock.install()
    page.goto(f"{script.url}/link#the-token")
    script.wait_command("request-qr")
    script.refusing = 4429
    script.cut(4429)
    expect(page.locator("main")).to_have_attribute("data-link", "lost")
    page.clock.run_for(3_500)
    expect(page.get_by_test_id("toast")).to_have_text(re.compile("too many tabs"))
    script.refusing = None
    page.clock.run_for(8_000)
    script.wait_open(2)


def test_a_code_asked_for_before_the_socket_is_up_is_asked_once_it_is(open_page: OpenPage, script: Script) -> None:
    script.refusing = 1012
    page = open_page(PHONE)
    page.goto(f"{script.url}/link#the-token")
    page.get_by_test_id("phone").fill("+79001111111")
    page.get_by_test_id("get-code").tap()
    expect(page.locator(".lead")).to_have_text("Connecting…")
    assert script.commands() == []
    script.refusing = None
    assert script.wait_command("request-pairing-code")["phoneNumber"] == "+79001111111"
    assert len(script.commands()) == 1


def test_between_a_qrs_end_and_the_next_the_page_draws_no_oftener(desktop: Page, script: Script) -> None:
    desktop.evaluate("""() => {
        window.armed = 0;
        const real = window.setTimeout;
        window.setTimeout = (ring, delay) => { window.armed += 1; return real(ring, delay); };
    }""")
    script.become("awaiting_phone", "qr-update", attempt=1, method="qr", qr=a_qr(seconds=0), deadline=deadline())
    expect(desktop.locator("main")).to_have_attribute("data-step", "qr-over")
    assert desktop.evaluate("window.armed") < 20


def test_a_command_whose_answer_was_lost_is_sent_again(desktop: Page, script: Script) -> None:
    script.cut(1012)
    script.wait_command("request-qr", 2)


def seconds_shown_too_many(page: Page, words: str, until: int, wanted: int = 0) -> float:
    """By how much the countdown, once it is there, differs from what is left by the server's clock. Looked at again if
    it is not `wanted`: a page that is starved draws late."""
    countdown = page.get_by_test_id("countdown")
    expect(countdown).to_have_text(re.compile(words))
    found = float("inf")
    for _ in range(20):
        minutes, seconds = re.findall(r"\d+", countdown.inner_text())
        found = 60 * int(minutes) + int(seconds) - (until - now()) / 1000
        if abs(found - wanted) < 2:
            break
        page.wait_for_timeout(100)
    return found


@pytest.mark.parametrize("minutes", [-10, 10])
def test_clocks_are_right_on_a_computer_whose_clock_is_wrong(open_page: OpenPage, script: Script, minutes: int) -> None:
    page = open_page(DESKTOP)
    page.clock.install(time=(now() + minutes * 60_000) / 1000)
    qr = a_qr(seconds=59)
    script.become("awaiting_phone", method="qr", qr=qr, deadline=deadline())
    page.goto(f"{script.url}/link#the-token")
    assert abs(seconds_shown_too_many(page, "New code in", qr["expiresAt"])) < 2
    code = a_code(seconds=119)
    script.become("awaiting_phone", method="code", qr=a_qr(), code=code, deadline=deadline())
    assert abs(seconds_shown_too_many(page, "Valid for", code["expiresAt"])) < 2
    page.clock.run_for(30_000)
    assert abs(seconds_shown_too_many(page, "Valid for", code["expiresAt"], -30) + 30) < 2


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


def test_an_older_snapshot_is_dropped_but_the_first_on_a_socket_is_the_truth(desktop: Page, script: Script) -> None:
    main = desktop.locator("main")
    script.become("linked", attempt=5, device=a_device())
    expect(main).to_have_attribute("data-attempt", "5")
    script.say({"type": "status", "snapshot": {**script.snapshot, "attempt": 4, "state": "failed", "serverNow": now()}})
    script.become("linked", attempt=5, device=a_device())
    expect(main).to_have_attribute("data-seq", str(script.snapshot["seq"]))
    expect(main).to_have_attribute("data-state", "linked")
    # A server that lost its memory counts from the beginning.
    script.snapshot = {
        "state": "reconnecting",
        "sessionId": "company_aurora",
        "attempt": 1,
        "seq": 1,
        "device": a_device(),
    }
    script.cut(1012)
    expect(main).to_have_attribute("data-state", "reconnecting")


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
