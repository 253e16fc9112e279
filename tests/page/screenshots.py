"""Writes pictures of the main states into a folder: `python tests/page/screenshots.py docs/screenshots`.

They are taken from the gallery's table of states, so that they show what the tests look at; lossless WebP keeps each
below 100 KB.
"""

import sys
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

# After the line above: some wheel brings a package `tests` of its own, which would be found instead of ours.
from tests import chromium
from tests.page.server import running

#: file, state, language, width, theme
PICTURES = [
    ("desktop-qr", "qr", "en", 1280, "light"),
    ("desktop-linked", "linked", "en", 1280, "light"),
    ("desktop-qr-dark", "qr", "ru", 1280, "dark"),
    ("desktop-refused", "failed-pairing-refused", "pt-BR", 1280, "light"),
    ("phone-number", "form", "es", 360, "light"),
    ("phone-code", "code", "en", 360, "light"),
    ("phone-code-dark", "code", "ru", 360, "dark"),
    ("phone-code-arabic", "code", "ar", 360, "light"),
    ("phone-finishing", "linking", "es", 360, "light"),
    ("desktop-code-arabic", "code", "ar", 1280, "dark"),
    ("desktop-linked-german", "linked", "de", 1280, "light"),
    ("phone-linked", "linked-on-phone", "ru", 360, "light"),
    ("phone-time-ran-out", "expired-code", "en", 360, "dark"),
]


def main(folder: Path) -> None:
    """Write them all."""
    folder.mkdir(parents=True, exist_ok=True)
    with running() as script, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium.found(), args=["--no-sandbox", "--disable-gpu"])
        for file, state, locale, width, theme in PICTURES:
            page = browser.new_page(
                viewport={"width": width, "height": 740 if width < 600 else 800},
                device_scale_factor=2 if width < 600 else 1,
                color_scheme="dark" if theme == "dark" else "light",
                reduced_motion="reduce",
            )
            page.goto(f"{script.url}/states?one#{state}:{locale}")
            page.wait_for_selector("main[data-fixture]")
            with Image.open(BytesIO(page.screenshot())) as picture:
                picture.save(folder / f"{file}.webp", lossless=True)
            page.close()
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
