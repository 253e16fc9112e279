"""Records the whole dance in the demo as an animated picture: `python tests/page/dance.py docs/screenshots/dance.webp`.

The real service runs against the emulator, and a browser clicks as a stranger would. A picture is taken whenever
something has happened, and stands for as long as a reader needs.
"""

import re
import sys
import tempfile
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

# After the line above: some wheel brings a package `tests` of its own, which would be found instead of ours.
from tests import chromium
from tests.tooling.launched import Launched

SIZE = (1280, 800)
SHOWN = (960, 600)


class Film:
    """Pictures of a page, and how many milliseconds each stands."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self.pictures: list[Image.Image] = []
        self.times: list[int] = []

    def take(self, milliseconds: int) -> None:
        """One more picture."""
        with Image.open(BytesIO(self._page.screenshot())) as picture:
            self.pictures.append(picture.convert("RGB").resize(SHOWN, Image.Resampling.LANCZOS))
        self.times.append(milliseconds)

    def write(self, path: Path) -> None:
        """The animated picture; it begins anew for ever."""
        first, *rest = self.pictures
        first.save(
            path,
            save_all=True,
            append_images=rest,
            duration=self.times,
            loop=0,
            quality=82,
            method=6,
            minimize_size=True,
        )


def dance(page: Page, film: Film) -> None:
    """A company links by QR, the next one by code."""
    frame, press = page.frame_locator("#page"), lambda name: page.get_by_role("button", name=name, exact=True).click()
    expect(page.locator("#scanIt")).to_be_enabled(timeout=30_000)
    film.take(2200)
    press("Scan it")
    expect(page.locator("#seen")).to_be_visible()
    film.take(1300)
    expect(page.locator("#outcome")).to_be_visible()
    film.take(700)
    expect(frame.locator("main[data-state=linked]")).to_be_attached()
    expect(page.get_by_text("online", exact=True)).to_be_visible(timeout=30_000)
    film.take(2600)
    press("New company")
    frame.get_by_test_id("switch-method").click()
    expect(frame.get_by_test_id("get-code")).to_be_visible()
    frame.get_by_test_id("title").scroll_into_view_if_needed()
    film.take(1200)
    frame.get_by_test_id("get-code").click()
    expect(page.locator("#typeIt")).to_be_enabled(timeout=30_000)
    film.take(1800)
    press("Type the code")
    for typed in (2, 5, 8):
        expect(page.locator("#cells span:not(:empty)").nth(typed - 1)).to_be_attached()
        film.take(450)
    expect(page.locator("#outcome")).to_be_visible()
    film.take(700)
    expect(frame.locator("main[data-state=linked]")).to_be_attached()
    expect(page.get_by_text("online", exact=True)).to_be_visible(timeout=30_000)
    film.take(3000)


def main(path: Path) -> None:
    """Record it."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        demo = Launched("emulator.demo", f"--folder={folder}")
        browser = playwright.chromium.launch(executable_path=chromium.found(), args=["--no-sandbox"])
        try:
            page = browser.new_page(viewport={"width": SIZE[0], "height": SIZE[1]}, locale="en-GB")
            page.goto(re.findall(r"http://\S+", demo.until("/demo"))[0])
            film = Film(page)
            dance(page, film)
            film.write(path)
        finally:
            browser.close()
            demo.process.terminate()
            demo.end()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
