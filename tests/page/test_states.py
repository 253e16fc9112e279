"""Every state, in every language, at both widths, in both themes: nothing to be found by axe, nothing that overflows."""

from importlib.resources import files

import pytest
from playwright.sync_api import Page

from tests.page.conftest import OpenPage
from tests.page.server import Script

LOCALES = ["en", "ru", "pt-BR", "es"]
AXE = (files("axe_playwright_python") / "axe.min.js").read_text()

RUN_AXE = """async () => (await axe.run(document, {resultTypes: ["violations"], preload: false, iframes: false})).violations
    .map((found) => `${found.id}: ${found.nodes.map((node) => node.target).join(" | ")}`)"""

#: Draws each state in its turn and looks at it with every given pair of eyes; all in the page, which is much faster.
LOOK_AT_ALL = """async ([locales, names]) => {
    const faults = [];
    const eyes = [%s];
    const main = () => document.querySelector("main");
    for (const locale of locales) for (const name of names) {
        location.hash = `${name}:${locale}`;
        while (main()?.dataset.fixture !== `${name}:${locale}`) await new Promise((next) => setTimeout(next));
        for (const look of eyes) for (const fault of await look()) faults.push(`${name} ${locale}: ${fault}`);
    }
    return faults;
}"""

#: Texts that are wider or taller than their box, targets that a thumb misses, a page that scrolls sideways.
MEASURE = """() => {
    const found = [];
    const seen = (node) => node.checkVisibility({visibilityProperty: true}) && !node.closest(".unseen");
    if (document.scrollingElement.scrollWidth > innerWidth) found.push("the page scrolls sideways");
    for (const node of document.querySelectorAll("body *")) {
        if (!seen(node) || !node.textContent.trim() || node.tagName === "OPTION") continue;
        if (getComputedStyle(node).display === "inline") continue;
        const clipped = getComputedStyle(node).clipPath !== "none";
        if (!clipped && node.scrollWidth > node.clientWidth + 1) found.push(`wide: ${node.outerHTML.slice(0, 120)}`);
        const box = node.getBoundingClientRect();
        if (!clipped && (box.right > innerWidth + 0.5 || box.left < -0.5)) found.push(`out: ${node.outerHTML.slice(0, 120)}`);
    }
    for (const node of document.querySelectorAll("button, select, summary, a, input, .apps label")) {
        if (!seen(node) || node.type === "radio") continue;
        const {width, height} = node.getBoundingClientRect();
        if (width < 43.9 || height < 43.9) found.push(`small: ${width}×${height} ${node.outerHTML.slice(0, 120)}`);
    }
    return found;
}"""


def names_of(page: Page) -> list[str]:
    """The states in the table."""
    names: list[str] = page.evaluate(
        "async () => (await import('/static/fixtures.js')).fixtures(0).map((fixture) => fixture.name)"
    )
    return names


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("locale", LOCALES)
def test_every_state_is_whole_and_accessible(
    open_page: OpenPage, script: Script, locale: str, width: int, theme: str
) -> None:
    page = open_page(viewport={"width": width, "height": 800}, color_scheme=theme, reduced_motion="reduce")
    page.goto(f"{script.url}/states?one#start:{locale}")
    page.evaluate(AXE)
    found = page.evaluate(LOOK_AT_ALL % f"{MEASURE}, {RUN_AXE}", [[locale], names_of(page)])
    assert not found, "\n".join(found)


@pytest.mark.parametrize(("width", "bigger_text"), [(320, False), (640, False), (320, True)])
def test_nothing_is_lost_on_the_narrowest_screen_at_200_percent_and_with_spaced_text(
    open_page: OpenPage, script: Script, width: int, bigger_text: bool
) -> None:
    # 1280 px at 200 % are 640; at 400 %, or the smallest phones, 320. The spacing is that of WCAG 1.4.12.
    page = open_page(viewport={"width": width, "height": 700}, bypass_csp=True)
    page.goto(f"{script.url}/states?one#start:en")
    if bigger_text:
        page.add_style_tag(content="* { line-height: 1.5 !important; letter-spacing: 0.06em; word-spacing: 0.16em; }")
    found = page.evaluate(LOOK_AT_ALL % MEASURE, [["ru", "pt-BR"], names_of(page)])
    assert not found, "\n".join(found)


def test_the_gallery_shows_every_state_side_by_side(open_page: OpenPage, script: Script) -> None:
    page = open_page(viewport={"width": 1280, "height": 800})
    page.goto(f"{script.url}/states")
    frames = page.locator("figure")
    frames.first.wait_for()
    assert frames.count() == len(names_of(page))
    page.frame_locator("iframe").first.locator("main[data-fixture]").wait_for()
