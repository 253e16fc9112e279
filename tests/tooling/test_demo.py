"""`make demo`: the real service against the emulator, as one page, and nothing of it afterwards."""

import re
import signal
import urllib.request

import phonenumbers
import pytest
from playwright.sync_api import expect

from app.local.redis import free_port
from emulator.control import stage
from tests.tooling.launched import Launched
from tests.tooling.stranger import address, arriving


@pytest.fixture
def demo(tmp_path):
    launched = Launched("emulator.demo", f"--folder={tmp_path / 'demo'}", TMPDIR=str(tmp_path), PORT=str(free_port()))
    yield launched
    launched.clean_up()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_shows_one_short_link_and_a_log_and_a_signal_stops_everything(demo, number, tmp_path):
    url = address(demo.until("http://"))
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/demo", url)
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert (answer.status, answer.headers["content-type"].split(";")[0]) == (200, "text/html")
    log = tmp_path / "demo" / "demo.log"
    assert str(log) in demo.until("Log")
    assert "worker" in log.read_text()
    demo.until("Ctrl-C")
    assert len(demo.said.splitlines()) <= 8, "nothing that is not needed"
    demo.process.send_signal(number)
    assert demo.end() == 0, demo.said
    demo.assert_all_gone()


@pytest.fixture
def shown(demo, chromium_executable):
    with arriving(address(demo.until("http://")), chromium_executable) as stranger:
        yield stranger


@pytest.mark.browser
def test_a_stranger_sees_the_whole_dance_by_clicking_in_one_page(shown):
    page, frame = shown.page, shown.frame
    # The QR that is on the screen.
    shown.press("Scan it")
    shown.sees("linked")
    shown.hears("The phone saw the QR")
    expect(page.get_by_text("online", exact=True)).to_be_visible()
    expect(page.locator("[data-step=trouble]")).to_have_attribute("aria-current", "step")

    # The phone behaves badly: the page says what happened, and goes on. What the phone still does for a company before
    # is not told of the next one.
    shown.press("dawdles for 5 s")
    shown.press("New company")
    shown.press("Scan it")
    shown.hears("dawdles for 5 s")
    shown.press("agrees at once")
    shown.press("is the wrong phone")
    shown.press("New company")
    shown.press("Scan it")
    shown.sees("failed", failure="wrong-number")
    shown.press("agrees at once")
    shown.press("refuses")
    frame.get_by_test_id("retry").click()
    shown.press("Scan it")
    expect(page.get_by_role("heading", name="The owner said no")).to_be_visible()
    shown.press("agrees at once")

    # The code, in another language, on a narrow screen, where the phone slides over the page.
    page.get_by_label("Language", exact=True).select_option("de")
    page.set_viewport_size({"width": 360, "height": 740})
    frame.get_by_test_id("switch-method").click()
    frame.get_by_test_id("get-code").click()
    shown.press("Telefon zeigen")
    expect(page.locator("#hand")).to_be_visible()
    shown.press("Code eintippen")
    shown.sees("linked")
    expect(page.locator("#hand")).to_be_hidden()
    shown.press("Telefon zeigen")
    shown.press("Abmelden")
    expect(frame.locator("main[data-failure]:not([data-state=linked])")).to_be_attached(timeout=30_000)


def test_without_the_emulator_there_is_no_service(demo):
    demo.until("Ctrl-C")
    demo.named("-m emulator --state-dir").kill()
    assert demo.end() == 1
    assert "The emulator ended with exit code -9, so everything was stopped.\n" in demo.said
    demo.assert_all_gone()


def test_even_a_killed_demo_leaves_nothing(demo):
    demo.until("Ctrl-C")
    demo.process.kill()
    demo.process.wait()
    demo.assert_all_gone()


def test_the_phone_speaks_the_languages_of_the_page_with_all_its_words():
    assert sorted(path.stem for path in stage.WORDS.glob("*.json")) == stage.languages()
    english = set(stage.words("en"))
    for language in stage.languages():
        spoken = stage.words(language)
        assert {key for key in english if not key.startswith(("menu.", "bar."))} <= set(spoken), language
        assert all(spoken.values()), language


@pytest.mark.parametrize("language", stage.languages())
def test_made_up_numbers_are_numbers(language):
    for _ in range(20):
        number = stage.made_up_number(language)
        assert phonenumbers.is_possible_number(phonenumbers.parse(f"+{number}")), number
        assert phonenumbers.is_valid_number(phonenumbers.parse(f"+{number}")), number


@pytest.mark.parametrize(
    ("wish", "language"), [("pt", "pt-BR"), ("pt-BR", "pt-BR"), ("de-AT", "de"), ("xx", "en"), ("", "en")]
)
def test_a_wish_for_a_language_finds_the_nearest(wish, language):
    assert stage.spoken(wish) == language
