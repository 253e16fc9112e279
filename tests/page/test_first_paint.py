"""The first paint has the right words in the right places, and nothing moves when the rest arrives, late or never."""

import json
import re
from difflib import unified_diff
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.page.conftest import DESKTOP, PHONE, OpenPage, take_out
from tests.page.pictures import a_qr, deadline
from tests.page.server import Script
from tests.page.test_words import read
from tests.page.visit import MOST_SHIFT, WATCH, far_away

#: All that is to be seen: each node's place and its own words. The country is guessed by the browser, which alone knows
#: where it is.
STANDS = r"""() => [...document.querySelectorAll("#app *")]
    .filter((node) => node.checkVisibility({visibilityProperty: true}) && node.getBoundingClientRect().width)
    .filter((node) => !node.closest("[data-part=chip]"))
    .map((node) => {
        const {x, y, width, height} = node.getBoundingClientRect();
        const own = [...node.childNodes].filter(({nodeType}) => nodeType === 3).map(({data}) => data.trim()).join(" ");
        const place = getComputedStyle(node).animationName === "turn" ? [] : [x, y, width, height].map(Math.round);
        return `${node.localName} ${node.dataset.part ?? ""} ${place} ${own} ${node.ariaLabel ?? ""} ${node.className.baseVal ?? ""}`;
    })"""


def slow_down(page: Page, latency: int) -> None:
    """As far away as `latency` ms, on a slow line."""
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    session.send("Network.emulateNetworkConditions", far_away(latency))


def asked_for(page: Page, waiting: list[Route]) -> Route:
    """The one request that the page makes and that waits, once it is made."""
    for _ in range(200):
        if waiting:
            break
        page.wait_for_timeout(50)
    (route,) = waiting
    return route


def opened(page: Page, script: Script, query: str = "") -> Page:
    page.goto(f"{script.url}/link{query}#the-token")
    return page


@pytest.mark.parametrize(("device", "step"), [(PHONE, "form"), (DESKTOP, "opening")], ids=["phone", "desktop"])
@pytest.mark.parametrize("locale", ["en-GB", "ru-RU", "es-MX", "pt-PT", "ar-EG"])
def test_before_any_script_runs_the_words_the_brand_and_the_scene_are_there(
    open_page: OpenPage, script: Script, device: dict[str, Any], step: str, locale: str
) -> None:
    page = opened(open_page(device, locale=locale, java_script_enabled=False), script)
    words = read("pt-BR" if locale.startswith("pt") else locale[:2])
    expect(page).to_have_title(f"{words['page.title']} · Bookwell")
    expect(page.locator("h1")).to_have_text(words["page.title"])
    expect(page.locator(".platform")).to_have_text("Bookwell")
    expect(page.get_by_test_id("title")).to_have_text(words[f"step.{step}.title"])
    expect(page.locator("html")).to_have_attribute("dir", words["language.dir"])
    platform = "\u2068Bookwell\u2069" if words["language.dir"] == "rtl" else "Bookwell"
    expect(page.locator(".lead")).to_have_text(words[f"step.{step}.text"].replace("{platform}", platform))
    expect(page.locator(".who")).to_contain_text("Bookwell")
    expect(page.get_by_test_id("get-code")).to_be_visible(visible=step == "form")
    # No naked button, no broken picture.
    for button in page.locator("button:visible").all():
        assert button.inner_text().strip()
    assert page.locator("img:visible").count() == 0


def test_the_language_is_the_chosen_one_then_the_link_s_then_the_browser_s(open_page: OpenPage, script: Script) -> None:
    page = opened(open_page(PHONE, locale="ru-RU"), script)
    expect(page.locator("html")).to_have_attribute("lang", "ru")
    opened(page, script, "?lang=es")
    expect(page.locator("html")).to_have_attribute("lang", "es")
    page.get_by_test_id("locale").select_option("en")
    expect(page.get_by_test_id("title")).to_have_text("Your WhatsApp number")
    opened(page, script, "?lang=es")
    expect(page.locator("html")).to_have_attribute("lang", "en")


@pytest.mark.parametrize(
    ("device", "locale"), [(PHONE, "en"), (DESKTOP, "en"), (PHONE, "ar")], ids=["phone", "desktop", "right-to-left"]
)
def test_what_the_modules_draw_first_is_what_stands_there(
    open_page: OpenPage, script: Script, complaints: list[str], device: dict[str, Any], locale: str
) -> None:
    script.silent = True
    page = open_page(device, locale=locale)
    aborted = []

    def abort(route: Route) -> None:
        aborted.append(route)
        route.abort()

    page.route(re.compile(r"\.js$"), abort)
    opened(page, script)
    before = page.evaluate(STANDS)
    take_out(complaints, page, failed=len(aborted))
    page.unroute_all()
    page.reload()
    page.wait_for_function("document.querySelector('main').dataset.timers !== undefined")
    after = page.evaluate(STANDS)
    assert len(before) > 60
    assert not "\n".join(unified_diff(before, after, n=0))


@pytest.mark.parametrize("latency", [80, 400])
@pytest.mark.parametrize("device", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_nothing_moves_while_the_page_arrives(
    open_page: OpenPage, script: Script, device: dict[str, Any], latency: int
) -> None:
    page = open_page(device)
    page.add_init_script(WATCH)
    slow_down(page, latency)
    opened(page, script)
    if device is DESKTOP:
        script.wait_command("request-qr")
        script.become("connecting", attempt=1, method="qr", deadline=deadline())
        script.become("awaiting_phone", "qr-update", attempt=1, method="qr", qr=a_qr(), deadline=deadline())
        expect(page.get_by_test_id("qr")).to_be_visible()
    else:
        expect(page.locator("main")).to_have_attribute("data-link", "ready")
        expect(page.locator(".who")).to_contain_text("Aurora")
    page.wait_for_load_state("networkidle")
    shift = page.evaluate("window.shift")
    assert shift <= MOST_SHIFT, "\n".join(page.evaluate("window.shifted"))


@pytest.mark.parametrize("device", [PHONE, DESKTOP], ids=["phone", "desktop"])
@pytest.mark.parametrize(("fate", "latency"), [("late", 80), ("late", 400), ("never", 400)])
def test_nothing_moves_when_the_link_s_language_comes_late_or_never(
    open_page: OpenPage, script: Script, complaints: list[str], device: dict[str, Any], fate: str, latency: int
) -> None:
    # An address that does not tell the language, as of links that were made by hand.
    script.profile["locale"] = "es"
    page = open_page(device)
    page.add_init_script(WATCH)
    waiting: list[Route] = []
    page.route(re.compile(r"/static/es\.[^/]+\.json$"), lambda route: waiting.append(route))  # noqa: PLW0108 - Playwright cannot keep a builtin
    slow_down(page, latency)
    opened(page, script)
    expect(page.locator("main")).to_have_attribute("data-link", "ready")
    page.wait_for_timeout(600)  # what moves within 500 ms of a click would not count
    route = asked_for(page, waiting)
    if fate == "late":
        route.continue_()
        expect(page.locator("h1")).to_have_text("Vincular WhatsApp")
    else:
        route.abort()
        take_out(complaints, page, failed=1)
        expect(page.locator("h1")).to_have_text("Link WhatsApp")
    assert page.evaluate("window.shift") <= MOST_SHIFT, "\n".join(page.evaluate("window.shifted"))


def test_a_language_that_never_comes_leaves_the_page_as_it_was(
    open_page: OpenPage, script: Script, complaints: list[str]
) -> None:
    page = open_page(PHONE)
    page.clock.install()
    waiting: list[Route] = []
    page.route(re.compile(r"/static/ru\.[^/]+\.json$"), lambda route: waiting.append(route))  # noqa: PLW0108 - Playwright cannot keep a builtin
    opened(page, script)
    page.get_by_test_id("locale").select_option("ru")
    expect(page.get_by_test_id("title")).to_have_text("Your WhatsApp number")
    page.get_by_test_id("phone").fill("+79001234567")
    asked_for(page, waiting).abort()
    take_out(complaints, page, failed=1)
    expect(page.get_by_test_id("get-code")).to_be_enabled()
    page.get_by_test_id("get-code").tap()
    script.wait_command("request-pairing-code")
    # And when it can be had after all, it comes.
    page.unroute_all()
    page.clock.run_for(3_000)
    expect(page.get_by_test_id("title")).to_have_text("Получаем код…")


def test_a_dead_link_still_says_whose_it_was_and_where_to_get_another(open_page: OpenPage, script: Script) -> None:
    script.dead = True
    script.profile["refreshUrl"] = "https://bookwell.example/again"
    page = opened(open_page(PHONE), script)
    expect(page.get_by_test_id("title")).to_have_text("This link no longer works")
    expect(page.locator(".who")).to_contain_text("Salon “Aurora”")
    expect(page.locator(".platform")).to_have_text("Bookwell")
    expect(page.locator(".lead")).to_have_text("To link again, get a new link.")
    # What it has done before is not known.
    expect(page.get_by_text("Nothing has been linked")).to_be_hidden()
    button = page.get_by_test_id("return")
    expect(button).to_have_text("Get a new link")
    expect(button).to_have_attribute("href", "https://bookwell.example/again")
    assert script.commands() == []


def test_a_link_that_cannot_be_read_says_what_to_do(open_page: OpenPage, script: Script) -> None:
    script.refusing = 4401
    page = opened(open_page(PHONE), script)
    expect(page.get_by_test_id("title")).to_have_text("This link no longer works")
    expect(page.locator(".lead")).to_contain_text("Use the full link you were sent")
    expect(page.locator(".platform")).to_have_text("Bookwell")
    expect(page).to_have_title("Link WhatsApp · Bookwell")


def test_the_words_in_the_page_are_those_of_its_language(open_page: OpenPage, script: Script) -> None:
    page = opened(open_page(PHONE, locale="es-MX", java_script_enabled=False), script)
    assert json.loads(page.locator("#words").text_content() or "") == read("es")
