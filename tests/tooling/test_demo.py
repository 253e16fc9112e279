"""`make demo`: the real service against the emulator, as one page, and nothing of it afterwards."""

import re
import signal
import urllib.request

import phonenumbers
import pytest
from playwright.sync_api import expect, sync_playwright

from app.local.redis import free_port
from emulator.control import stage
from tests.tooling.launched import Launched


@pytest.fixture
def demo(tmp_path):
    launched = Launched("emulator.demo", f"--folder={tmp_path / 'demo'}", TMPDIR=str(tmp_path), PORT=str(free_port()))
    yield launched
    launched.clean_up()


def address(line):
    url = re.search(r"http://\S+", line)
    assert url, line
    return url[0]


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


class Stage:
    """The page in a browser: clicks of a stranger, and what is seen."""

    def __init__(self, page):
        self.page, self.frame = page, page.frame_locator("#page")

    def press(self, name):
        self.page.get_by_role("button", name=name, exact=True).click()

    def sees(self, state, **parts):
        marks = "".join(f"[data-{name}='{value}']" for name, value in {"state": state, **parts}.items())
        expect(self.frame.locator(f"main{marks}")).to_be_attached(timeout=30_000)

    def hears(self, words):
        expect(self.page.locator("#log")).to_contain_text(words)


@pytest.fixture
def shown(demo, chromium_executable):
    """The demo on a desktop, in English, with nothing that a browser could ask its user."""
    url, complaints = address(demo.until("http://")), []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_executable)
        page = browser.new_page(viewport={"width": 1280, "height": 800}, locale="en-GB")
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(url)
        yield Stage(page)
        browser.close()
    assert complaints == []


@pytest.mark.browser
def test_a_stranger_sees_the_whole_dance_by_clicking_in_one_page(shown):
    page, frame = shown.page, shown.frame
    # The QR that is on the screen.
    shown.press("Scan it")
    shown.sees("linked")
    shown.hears("The phone saw the QR")
    expect(page.get_by_text("online", exact=True)).to_be_visible()
    expect(page.locator("[data-step=trouble]")).to_have_attribute("aria-current", "step")

    # The phone behaves badly: the page says what happened, and goes on.
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
