"""A whole linking in the engine of the iPhone: by QR, then by code."""

from collections.abc import Iterator

import pytest

from tests.page import webkit
from tests.page.pictures import a_code, a_device, a_qr, deadline
from tests.page.server import Script
from tests.page.webkit import WebKit

pytestmark = pytest.mark.skipif(
    webkit.missing() is not None,
    reason=f"no WebKit here ({webkit.missing()}): the page is TRIED IN CHROMIUM ONLY. Debian: webkit2gtk-driver xvfb",
)

#: What a layout must not do in any engine, and what a script has complained of.
FAULTS = """return [
    ...window.faults ?? [],
    ...document.scrollingElement.scrollWidth > innerWidth ? ["the page scrolls sideways"] : [],
    ...[...document.querySelectorAll("button, a, p, h1, h2, select")].filter((node) =>
        node.checkVisibility({visibilityProperty: true}) && !node.closest(".unseen") && node.getBoundingClientRect().right > innerWidth + 1
    ).map((node) => `out: ${node.outerHTML.slice(0, 120)}`),
]"""
LISTEN = """window.faults = [];
for (const kind of ["error", "unhandledrejection"]) addEventListener(kind, (event) => faults.push(String(event.message ?? event.reason)))"""


@pytest.fixture(scope="module")
def browser() -> Iterator[WebKit]:
    with webkit.running() as running:
        yield running


@pytest.mark.parametrize("language", ["en", "ar"])
def test_a_whole_linking_in_webkit(browser: WebKit, script: Script, language: str) -> None:
    browser.goto(f"{script.url}/link?lang={language}#the-token-{language}")
    browser.run(LISTEN)
    script.wait_command("request-qr")
    script.become("awaiting_phone", "qr-update", attempt=1, method="qr", qr=a_qr(), deadline=deadline())
    browser.find("qr")
    browser.until("document.querySelector('[data-testid=qr]').naturalWidth")
    assert browser.run(FAULTS) == []
    browser.click("switch-method")
    browser.type("phone", "89001234567")
    assert "+7 900 123-45-67" in browser.text("phone-reads")
    browser.click("country")
    browser.find("country-search")
    browser.click("country-close")
    assert browser.run(FAULTS) == []
    browser.click("get-code")
    assert script.wait_command("request-pairing-code")["phoneNumber"] == "+79001234567"
    script.become(
        "awaiting_phone", "pairing-code", attempt=1, method="code", code=a_code(), qr=a_qr(), deadline=deadline()
    )
    browser.until("document.querySelector('[data-testid=code]').textContent === 'ABCD-EFGH'")
    assert browser.run(FAULTS) == []
    script.become("linking", attempt=1, method="code", deadline=deadline())
    browser.until("document.querySelector('main').dataset.step === 'linking'")
    script.become("linked", attempt=1, device=a_device())
    assert "45 67" in browser.text("device")
    assert browser.run("return getComputedStyle(document.documentElement).direction") == (
        "rtl" if language == "ar" else "ltr"
    )
    # What its owner reads survives a refresh.
    browser.ask("POST", "/refresh")
    browser.run(LISTEN)
    browser.find("device")
    assert browser.run(FAULTS) == []
    browser.run("sessionStorage.clear()")  # where the way that was chosen is kept
