"""Every state, in every language, at both widths, in both themes: nothing to be found by axe, nothing that overflows."""

import os
from importlib.resources import files

import pytest
from playwright.sync_api import Page, expect

from app.page.assets import FRONTEND
from app.page.look import Platform
from tests.page.conftest import OpenPage
from tests.page.server import Script

AXE = (files("axe_playwright_python") / "axe.min.js").read_text()
#: In `make test`; the product of all is played by `make gallery`.
LOCALES = ["en", "ru"]
EVERY_LOCALE = sorted(path.stem for path in (FRONTEND / "locales").glob("*.json"))
#: Of the others, those that axe reads, too: a word is as long to its eyes as another, but one of these is right-to-left.
FOR_AXE = ["ar", "es", "pt-BR"]
#: Two phones and a desktop.
SIZES = [(360, 640), (375, 553), (1280, 800)]
EVERY_SIZE = [*SIZES, (390, 664), (412, 915), (768, 1024)]

RUN_AXE = """async () => (await axe.run(document, {resultTypes: ["violations"], preload: false, iframes: false})).violations
    .map((found) => `${found.id}: ${found.nodes.map((node) => node.target).join(" | ")}`)"""

#: Axe without its look at colours, which takes most of its time.
MARKUP = RUN_AXE.replace("{resultTypes", '{rules: {"color-contrast": {enabled: false}}, resultTypes')

#: Words that cannot be read on their ground (WCAG 1.4.3). What axe takes 100 ms for, in two: all grounds here are plain.
CONTRAST = """() => {
    const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const linear = (part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    const light = (rgb) => rgb.slice(0, 3).reduce((sum, part, i) => sum + [0.2126, 0.7152, 0.0722][i] * linear(part / 255), 0.05);
    const groundOf = (node) => {
        const ground = numbers(getComputedStyle(node).backgroundColor);
        return (ground[3] ?? 1) === 1 || !node.parentElement ? ground : groundOf(node.parentElement);
    };
    const found = [];
    for (const node of document.querySelectorAll("body *")) {
        const worded = [...node.childNodes].some(({nodeType, data}) => nodeType === 3 && data.trim());
        if (!worded || !node.checkVisibility({visibilityProperty: true})) continue;
        if (node.closest(".unseen, [aria-disabled], option, script")) continue;
        const {color, fontSize, fontWeight} = getComputedStyle(node);
        const [low, high] = [light(numbers(color)), light(groundOf(node))].sort((one, other) => one - other);
        const large = parseFloat(fontSize) >= (fontWeight >= 700 ? 18.66 : 24);
        if (high / low < (large ? 3 : 4.5)) found.push(`${(high / low).toFixed(2)}: ${node.outerHTML.slice(0, 100)}`);
    }
    return found;
}"""

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

#: Texts that are wider or taller than their box, a choice that is cut, targets that a thumb misses, a page that scrolls sideways.
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
        if (node.tagName !== "SELECT") continue;
        node.style.maxWidth = "none";
        if (node.getBoundingClientRect().width > width + 1) found.push(`cut: ${node.selectedOptions[0].textContent}`);
        node.style.maxWidth = "";
    }
    return found;
}"""

#: What there is to do, the code, and the first step under it: all on the first screen. A code is of use on its own phone
#: only beside the step that it is for.
FIRST_SCREEN = """() => {
    const main = document.querySelector("main");
    const wanted = {
        "the button": [".button.main"], "the code": ["[data-testid=code]"], "the QR": ["[data-testid=qr]"],
        "the first step": main.dataset.step === "code" ? [".steps li"] : [],
    };
    const seen = (node) => node.checkVisibility({visibilityProperty: true}) && node.textContent + node.tagName !== "";
    const found = [];
    for (const [name, selectors] of Object.entries(wanted))
        for (const selector of selectors) {
            const node = [...document.querySelectorAll(selector)].find(seen);
            if (!node) continue;
            const {top, bottom} = node.getBoundingClientRect();
            if (top < 0 || bottom > innerHeight + 0.5) found.push(`${name} ends at ${Math.round(bottom)} of ${innerHeight}`);
        }
    return found;
}"""


def names_of(page: Page) -> list[str]:
    """The states in the table."""
    names: str = page.evaluate("document.documentElement.dataset.states")
    return names.split()


def look(page: Page, script: Script, eyes: str, locales: list[str]) -> list[str]:
    """What these eyes find in any state."""
    page.goto(f"{script.url}/states?one#start:{locales[0]}")
    page.wait_for_selector("main[data-fixture]")
    page.evaluate(AXE)
    found: list[str] = page.evaluate(LOOK_AT_ALL % eyes, [locales, names_of(page)])
    return found


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("locale", LOCALES)
def test_every_state_is_whole_and_accessible(
    open_page: OpenPage, script: Script, locale: str, width: int, height: int, theme: str
) -> None:
    page = open_page(viewport={"width": width, "height": height}, color_scheme=theme, reduced_motion="reduce")
    eyes = f"{MEASURE}, {FIRST_SCREEN}" + (f", {RUN_AXE}" if (width, height) != (375, 553) else "")
    found = look(page, script, eyes, [locale])
    assert not found, "\n".join(found)


@pytest.mark.parametrize("locale", [one for one in EVERY_LOCALE if one not in LOCALES])
def test_every_other_language_fits_the_smallest_phones(open_page: OpenPage, script: Script, locale: str) -> None:
    page = open_page(viewport={"width": 360, "height": 640}, reduced_motion="reduce")
    eyes = f"{MEASURE}, {FIRST_SCREEN}"
    found = look(page, script, eyes + (f", {RUN_AXE}" if locale in FOR_AXE else ""), [locale])
    page.set_viewport_size({"width": 375, "height": 553})
    found += look(page, script, eyes, [locale])
    assert not found, "\n".join(found)


def test_words_that_cannot_be_read_are_found(open_page: OpenPage, script: Script) -> None:
    page = open_page(viewport={"width": 360, "height": 640}, bypass_csp=True)
    assert look(page, script, CONTRAST, ["en"]) == []
    page.add_style_tag(content=".lead, .button.main { color: #8f8880 !important }")
    found = look(page, script, CONTRAST, ["en"])
    assert any('class="lead"' in one for one in found)
    assert any('class="button main"' in one for one in found)


if "GALLERY" in os.environ:  # make gallery

    @pytest.mark.parametrize(("width", "height"), EVERY_SIZE)
    @pytest.mark.parametrize("locale", EVERY_LOCALE)
    def test_the_whole_gallery(open_page: OpenPage, script: Script, locale: str, width: int, height: int) -> None:
        page = open_page(viewport={"width": width, "height": height}, color_scheme="light", reduced_motion="reduce")
        found = look(page, script, f"{MEASURE}, {FIRST_SCREEN}, {CONTRAST}, {MARKUP}", [locale])
        # Markup is the same in every colour; the measures differ by the lines that forced colours add.
        page.emulate_media(color_scheme="dark")
        found += look(page, script, CONTRAST, [locale])
        page.emulate_media(color_scheme="light", forced_colors="active")
        found += look(page, script, f"{MEASURE}, {FIRST_SCREEN}, {CONTRAST}", [locale])
        assert not found, "\n".join(found)

    @pytest.mark.parametrize("accent", ["#b00020", "#ffd400", "#0a7d4f"])
    @pytest.mark.parametrize(("width", "height"), SIZES)
    def test_the_gallery_in_a_platform_s_colour(
        open_page: OpenPage, script: Script, accent: str, width: int, height: int
    ) -> None:
        script.platform = Platform("Bookwell", "Bookwell", accent=accent, support_url="https://bookwell.example/help")
        page = open_page(viewport={"width": width, "height": height}, color_scheme="light", reduced_motion="reduce")
        found = look(page, script, CONTRAST, ["en"])
        page.emulate_media(color_scheme="dark")
        found += look(page, script, CONTRAST, ["en"])
        assert not found, "\n".join(found)


@pytest.mark.parametrize("other", [{"forced_colors": "active"}, {"media": "print"}], ids=["forced", "print"])
def test_in_forced_colours_and_on_paper_every_state_says_the_same(
    open_page: OpenPage, script: Script, other: dict[str, str]
) -> None:
    page = open_page(viewport={"width": 794, "height": 1123}, reduced_motion="reduce")
    page.goto(f"{script.url}/states?one#start:en")
    page.wait_for_selector("main[data-fixture]")
    tell = (
        LOOK_AT_ALL
        % """() => [...document.querySelectorAll(".panel :is(h2, p, b, img), .guide :is(h2, li, p)")]
        .filter((node) => node.checkVisibility({visibilityProperty: true})).map((node) => node.tagName + node.textContent)"""
    )
    before = page.evaluate(tell, [["en"], names_of(page)])
    page.emulate_media(**other)  # type: ignore[arg-type]
    assert page.evaluate(tell, [["en"], names_of(page)]) == before
    if "media" in other:
        return
    # A colour that says something has a line beside it, which forced colours keep.
    page.goto(f"{script.url}/states?one#code:en")
    page.wait_for_selector("main[data-fixture]")
    lines = page.evaluate("""() => [...document.querySelectorAll(".progress li")].map((item) => {
        const {height, borderTopWidth, backgroundColor} = getComputedStyle(item, "::before");
        return [height, borderTopWidth, backgroundColor].join(" ");
    })""")
    assert len(set(lines)) == 3, "what is past, what is now and what comes look different"


@pytest.mark.parametrize(("width", "bigger_text"), [(320, False), (640, False), (320, True)])
def test_nothing_is_lost_on_the_narrowest_screen_at_200_percent_and_with_spaced_text(
    open_page: OpenPage, script: Script, width: int, bigger_text: bool
) -> None:
    # 1280 px at 200 % are 640; at 400 %, or the smallest phones, 320. The spacing is that of WCAG 1.4.12.
    page = open_page(viewport={"width": width, "height": 700}, bypass_csp=True)
    page.goto(f"{script.url}/states?one#start:en")
    page.wait_for_selector("main[data-fixture]")
    if bigger_text:
        page.add_style_tag(content="* { line-height: 1.5 !important; letter-spacing: 0.06em; word-spacing: 0.16em; }")
    found = page.evaluate(LOOK_AT_ALL % MEASURE, [["ru", "pt-BR"], names_of(page)])
    assert not found, "\n".join(found)


def test_the_gallery_shows_every_state_side_by_side_and_filters(open_page: OpenPage, script: Script) -> None:
    page = open_page(viewport={"width": 1280, "height": 800})
    page.goto(f"{script.url}/states")
    figures = page.locator("figure")
    figures.first.wait_for()
    assert figures.count() == len(names_of(page))
    assert page.locator("iframe").count() == 0
    page.get_by_test_id("filter-failure").select_option("wrong-number")
    expect(figures).to_have_count(1)
    page.get_by_test_id("filter-lang").select_option("ru")
    expect(figures.locator("[data-part=title]")).to_have_text("Это был другой телефон")
    page.get_by_test_id("filter-theme").select_option("dark")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.get_by_test_id("filter-theme").select_option("light")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != dark
    # What is wished stands in the address; a state has an address of its own.
    page.reload()
    expect(figures).to_have_count(1)
    page.get_by_test_id("filter-failure").select_option("")
    expect(figures).to_have_count(len(names_of(page)))
    page.get_by_role("link", name="linked", exact=True).click()
    expect(figures).to_have_count(1)
    assert "only=linked" in page.url
