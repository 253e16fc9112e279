"""The wire and the clock: cut, wrong, late."""

import re

import pytest
from playwright.sync_api import CDPSession, Page, expect

from tests.page.conftest import DESKTOP, PHONE, OpenPage, stand_still
from tests.page.pictures import a_code, a_device, a_qr, deadline
from tests.page.server import Script, now


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


COUNT_TRIES = """() => {
    let tries = 0;
    const tell = (more) => (document.body.dataset.tries = String((tries += more)));
    const Real = window.WebSocket;
    window.WebSocket = function (url) {
        const socket = new Real(url);
        socket.addEventListener("close", () => tell(-1));
        tell(+1);
        return socket;
    };
}"""


def test_a_cut_is_said_only_when_it_lasts(open_page: OpenPage, script: Script) -> None:
    page = open_page(DESKTOP)
    page.clock.install()
    script.become("awaiting_phone", method="qr", qr=a_qr(), deadline=deadline())
    page.goto(f"{script.url}/link#the-token")
    expect(page.get_by_test_id("qr")).to_be_visible()
    page.evaluate(COUNT_TRIES)
    stand_still(page)  # or it would come back by itself before the button is pressed
    script.refusing = 1012
    script.cut(1012)
    expect(page.locator("main")).to_have_attribute("data-link", "lost")
    expect(page.get_by_test_id("toast")).to_be_hidden()
    page.clock.run_for(3_500)
    expect(page.get_by_test_id("toast")).to_contain_text("Connection lost.")
    expect(page.get_by_test_id("qr")).to_be_visible()
    expect(page.locator("body")).to_have_attribute("data-tries", "0")  # nor may a try of before be let in
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
