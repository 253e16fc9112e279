"""One server and one browser for all tests of the page; each test gets a context of its own."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

from tests.page.server import Script, running

ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PHONE = {
    "viewport": {"width": 360, "height": 740},
    "is_mobile": True,
    "has_touch": True,
    "user_agent": "Mozilla/5.0 (Linux; Android 14; Pixel 7) AppleWebKit/537.36 Chrome/120.0.0.0 Mobile Safari/537.36",
}
DESKTOP = {"viewport": {"width": 1280, "height": 800}}

OpenPage = Callable[..., Page]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever asks for a browser is marked so."""
    for item in items:
        if "chromium" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def chromium(chromium_executable: str) -> Iterator[Browser]:
    """The one browser."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_executable, args=ARGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def server(nothing_left_behind: None) -> Iterator[Script]:
    """The one server."""
    with running() as script:
        yield script


@pytest.fixture
def script(server: Script) -> Script:
    """What the server says, as nobody had asked it yet."""
    server.reset()
    return server


@pytest.fixture
def complaints() -> Iterator[list[str]]:
    """What a browser complained of, or asked of another origin. A test that expects some takes them out."""
    found: list[str] = []
    yield found
    assert not found, "\n".join(found)


def take_out(complaints: list[str], page: Page, *, failed: int) -> None:
    """Waits until the browser has told of so many requests that failed, which it does a moment later, and takes these out."""

    def told() -> list[str]:
        return [one for one in complaints if "net::ERR_FAILED" in one]

    for _ in range(200):
        if len(told()) >= failed:
            break
        page.wait_for_timeout(50)
    assert len(told()) == failed, complaints
    for one in told():
        complaints.remove(one)


def stand_still(page: Page) -> None:
    """Stop the page's clock, which must be installed: what the page says for a while stays. By the page's own clock, since
    the host's may go back."""
    page.clock.pause_at(page.evaluate("Date.now()") / 1000 + 10)


@pytest.fixture
def open_page(chromium: Browser, script: Script, complaints: list[str]) -> Iterator[OpenPage]:
    """`open_page(PHONE, color_scheme="dark")`: a page in a context of its own, listened to, not yet gone anywhere."""
    contexts = []

    def make(*options: dict[str, Any], **more: Any) -> Page:
        wished: dict[str, Any] = {"locale": "en-GB"}
        for one in (*options, more):
            wished |= one
        context = chromium.new_context(**wished)
        context.set_default_timeout(10_000)
        contexts.append(context)
        page = context.new_page()

        def console(message: ConsoleMessage) -> None:
            # A socket that we cut ourselves is told by the browser, not by the page.
            if message.type in {"error", "warning"} and "WebSocket" not in message.text:
                complaints.append(f"console: {message.text}")

        def request(asked: Request) -> None:
            if not asked.url.startswith((script.url, "data:")):
                complaints.append(f"another origin: {asked.url}")

        page.on("console", console)
        page.on("pageerror", lambda error: complaints.append(f"page: {error}"))
        page.on("request", request)
        return page

    yield make
    for context in contexts:
        context.close()


@pytest.fixture
def desktop(open_page: OpenPage, script: Script) -> Page:
    """The page on a desktop, opened by its link; it has asked for a QR."""
    page = open_page(DESKTOP)
    page.goto(f"{script.url}/link#the-token")
    script.wait_command("request-qr")
    return page


@pytest.fixture
def phone(open_page: OpenPage, script: Script) -> Page:
    """The page on a phone, opened by its link and connected."""
    page = open_page(PHONE)
    page.goto(f"{script.url}/link#the-token")
    page.wait_for_selector("main[data-link=ready]")
    return page
