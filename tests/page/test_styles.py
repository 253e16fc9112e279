"""The style sheets hold nothing that no state of the page needs."""

from playwright.sync_api import Page

from tests.page.conftest import OpenPage
from tests.page.server import Script

#: Selectors that fit nothing in the gallery as it stands. What is about a moment (hover,
#: focus, the app that is chosen, what is under way) counts without it, and what a rule draws before or after an element by the element.
UNUSED = r"""() => {
    const selectors = new Set();
    const walk = (rules) => [...rules].forEach((rule) => {
        if (rule.selectorText) rule.selectorText.split(/,(?![^()]*\))/).forEach((one) => selectors.add(one.trim()));
        else if (rule.cssRules && !(rule instanceof CSSKeyframesRule)) walk(rule.cssRules);
    });
    [...document.styleSheets].filter(({href}) => !href.includes("gallery")).forEach(({cssRules}) => walk(cssRules));
    const plain = (one) => one.replace(/::[\w-]+|:(hover|focus-visible|focus-within|focus|checked)(?![\w-])|\[(data-done|data-app="\w+"|aria-disabled)\]/g, "").replace(/:has\(\)/, "") || "*";
    return [...selectors].filter((one) => !document.querySelector(plain(one)));
}"""


def unused(page: Page, address: str, left: list[str] | None) -> list[str]:
    """Selectors that fit nothing there, of those that are left."""
    page.goto(address)
    page.locator("figure").first.wait_for()
    page.locator("[data-testid=country]:visible").first.evaluate("(chip) => chip.click()")
    page.get_by_test_id("country-search").wait_for()
    found: list[str] = page.evaluate(UNUSED)
    return found if left is None else [one for one in found if one in left]


def test_every_rule_is_of_use_in_some_state(open_page: OpenPage, script: Script) -> None:
    page = open_page(viewport={"width": 1280, "height": 800})
    left = unused(page, f"{script.url}/states?width=360", None)
    left = unused(page, f"{script.url}/states?width=1280&lang=ar", left)
    # Where the page cannot run, which the gallery can.
    assert left == ["noscript"]
