"""A stranger before the demo, in a browser: nothing but clicks in one page."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Page, expect, sync_playwright

LINKED_MS = 30_000


class Stranger:
    """Clicks, and sees what the page and the phone say."""

    def __init__(self, page: Page) -> None:
        self.page, self.frame = page, page.frame_locator("#page")

    def press(self, name: str) -> None:
        """A button beside the page, by its words."""
        self.page.get_by_role("button", name=name, exact=True).click()

    def sees(self, state: str, **parts: str) -> None:
        """The page comes to be in this state."""
        marks = "".join(f"[data-{name}='{value}']" for name, value in {"state": state, **parts}.items())
        expect(self.frame.locator(f"main{marks}")).to_be_attached(timeout=LINKED_MS)

    def hears(self, words: str) -> None:
        """The log says so."""
        expect(self.page.locator("#log")).to_contain_text(words)


def address(line: str) -> str:
    """The address in a line of the launcher."""
    url = re.search(r"http://\S+", line)
    assert url, line
    return url[0]


@contextmanager
def arriving(url: str, chromium: str) -> Iterator[Stranger]:
    """One on a desktop, in English. Fails when the browser complains."""
    complaints = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800}, locale="en-GB")
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(url)
        yield Stranger(page)
        browser.close()
    assert complaints == []
