"""The page in the colours of its platform: from the first byte, on light and on dark ground, and at nobody else's expense."""

import pytest
from playwright.sync_api import Request, Route, expect

from app.page.look import Platform
from shared.core.colour import dark_shades, light_shades
from tests.page.conftest import DESKTOP, PHONE, OpenPage, take_out
from tests.page.server import Script
from tests.page.test_states import AXE, RUN_AXE
from tests.page.visit import MOST_SHIFT, WATCH

LOGO = "https://cdn.example/logo.svg"
PICTURE = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 2 1"><path d="M0 0h2v1H0z" fill="#b00020"/></svg>'
BRAND = Platform("Bookwell", "Bookwell", accent="#b00020", logo_url=LOGO)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_brand_is_drawn_at_once_and_can_be_read(open_page: OpenPage, script: Script, theme: str) -> None:
    script.platform = Platform("Bookwell", "Bookwell", accent="#b00020")
    page = open_page(PHONE, color_scheme=theme, reduced_motion="reduce")  # a colour in passing is none
    page.goto(f"{script.url}/link#the-token")
    page.wait_for_selector("main[data-link=ready]")
    shades = (dark_shades if theme == "dark" else light_shades)("#b00020")
    button = page.get_by_test_id("get-code")
    drawn = button.evaluate("(node) => [getComputedStyle(node).backgroundColor, getComputedStyle(node).color]")
    assert drawn == [rgb(shades.accent), rgb(shades.words)]
    expect(page.locator(".mark")).to_have_text("B")
    page.evaluate(AXE)
    assert page.evaluate(RUN_AXE) == []


@pytest.mark.parametrize("device", [PHONE, DESKTOP], ids=["phone", "desktop"])
@pytest.mark.parametrize("fate", ["comes", "never comes"])
def test_the_logo_keeps_its_place_and_its_server_learns_nothing(
    open_page: OpenPage, script: Script, complaints: list[str], device: dict[str, object], fate: str
) -> None:
    script.platform = BRAND
    page = open_page(device)
    page.add_init_script(WATCH)
    asked: list[Request] = []

    def serve(route: Route) -> None:
        asked.append(route.request)
        if fate == "comes":
            route.fulfill(body=PICTURE, content_type="image/svg+xml")
        else:
            route.abort()

    page.route("https://cdn.example/**", serve)
    page.goto(f"{script.url}/link#the-token")
    page.wait_for_selector("main[data-link=ready]")
    logo = page.locator(".logo")
    page.wait_for_function("document.querySelector('.logo').complete")
    assert (logo.evaluate("(node) => node.naturalWidth") > 0) is (fate == "comes")
    # Nothing is drawn in the place of a picture that does not come; the name beside it says whose page this is.
    expect(page.locator(".platform")).to_have_text("Bookwell")
    expect(page.locator(".mark")).to_be_hidden()
    assert page.evaluate("window.shift") <= MOST_SHIFT, "\n".join(page.evaluate("window.shifted"))
    assert {one.url for one in asked} == {LOGO}
    assert all("referer" not in one.all_headers() for one in asked)
    assert complaints.count(f"another origin: {LOGO}") == len(asked)
    complaints[:] = [one for one in complaints if LOGO not in one]
    take_out(complaints, page, failed=0 if fate == "comes" else len(asked))


def test_a_dead_link_says_whose_it_was_before_any_script_runs(open_page: OpenPage, script: Script) -> None:
    script.platform = Platform("Aurora", "Aurora", accent="#0a7d4f", support_url="https://aurora.example/help")
    page = open_page(PHONE, java_script_enabled=False)
    page.goto(f"{script.url}/link")
    expect(page).to_have_title("Link WhatsApp · Aurora")
    expect(page.locator(".platform")).to_have_text("Aurora")
    expect(page.get_by_test_id("support-link")).to_have_attribute("href", "https://aurora.example/help")
    colour = page.locator(".mark").evaluate("(node) => getComputedStyle(node).backgroundColor")
    assert colour == rgb("#0a7d4f")


def test_no_other_style_and_no_other_picture_is_let_in(
    open_page: OpenPage, script: Script, complaints: list[str]
) -> None:
    script.platform = BRAND
    page = open_page(PHONE)
    page.route("https://*.example/**", lambda route: route.fulfill(body=PICTURE, content_type="image/svg+xml"))
    page.goto(f"{script.url}/link#the-token")
    page.wait_for_selector("main[data-link=ready]")
    shown = page.evaluate("""() => new Promise((done) => {
        const style = document.createElement("style");
        style.textContent = "body { color: red }";
        document.head.append(style);
        const picture = new Image();
        picture.onload = () => done("loaded");
        picture.onerror = () => done([getComputedStyle(document.body).color, "refused"]);
        picture.src = "https://evil.example/pixel.svg";
    })""")
    assert shown[1] == "refused"
    assert shown[0] != "rgb(255, 0, 0)"
    assert len([one for one in complaints if "Content Security Policy" in one]) == 2
    complaints.clear()


def rgb(colour: str) -> str:
    """As browsers tell it."""
    return f"rgb({int(colour[1:3], 16)}, {int(colour[3:5], 16)}, {int(colour[5:7], 16)})"
