"""The first paint: the right reader, every blank filled, and nothing that anybody has configured becomes markup."""

import json
import re
import time
from html.parser import HTMLParser
from urllib.parse import unquote
from xml.etree import ElementTree

from starlette.requests import Request

from app.page.assets import FRONTEND, PAGES
from app.page.look import Platform
from app.page.paint import LATER, Languages, Painter, Reader
from tests.each import each

LANGUAGES = Languages(FRONTEND / "locales")
ANDROID = "Mozilla/5.0 (Linux; Android 14; Pixel 7) AppleWebKit/537.36 Chrome/120.0.0.0 Mobile Safari/537.36"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 Safari/604.1"
DESKTOP = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/120.0.0.0 Safari/537.36"


def asked(query: str = "", **headers: str) -> Request:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "path": "/link", "query_string": query.encode(), "headers": raw})


def painted(page: str, reader: Reader, platform: Platform) -> str:
    painter = Painter(lambda name: (FRONTEND / name).read_text(), LANGUAGES, lambda name: f"/static/{name}")
    return painter.paint(page, reader, platform)


WISHES = [
    ({}, "en"),
    ({"accept_language": "ru-RU,ru;q=0.9,en;q=0.8"}, "ru"),
    ({"accept_language": "xx,en;q=0.1,es;q=0.7"}, "es"),
    ({"accept_language": "pt"}, "pt-BR"),
    ({"accept_language": "PT-pt"}, "pt-BR"),
    ({"accept_language": "en;q=nonsense, es, *;q=0.1"}, "es"),
    ({"accept_language": "," * 5000}, "en"),
    # Mapudungun, whose tag begins as that of Arabic.
    ({"accept_language": "arn,es;q=0.5"}, "es"),
    ({"accept_language": "he-IL"}, "he"),
    ({"accept_language": "ru", "query": "lang=es"}, "es"),
    ({"accept_language": "ru", "query": "lang=../../etc"}, "ru"),
    ({"accept_language": "ru", "query": "lang=es", "cookie": "a=b; lang=pt-BR"}, "pt-BR"),
    ({"accept_language": "ru", "cookie": "lang=<script>"}, "ru"),
    ({"accept_language": "ru", "cookie": "lang=tr;a=b"}, "tr"),
    ({"accept_language": "ru", "cookie": "slang=tr; x=lang=tr"}, "ru"),
]


@each("header", ["cookie", "user_agent", "accept_language", "query"])
def test_no_header_takes_long_to_read(header):
    for hostile in (
        'a="' + r"\1" * 8000 + '"',
        "Android" * 2300,
        "a;q=1," * 2700,
        "lang=" * 3200,
        "; " * 8000,
        "a=b&" * 4000,
    ):
        began = time.process_time()
        LANGUAGES.reader(asked(**{header: hostile}))
        assert time.process_time() - began < 0.3, (header, hostile[:9])


@each(("told", "locale"), WISHES)
def test_the_reader_s_language(told, locale):
    assert LANGUAGES.reader(asked(**told)).locale == locale


@each(
    ("headers", "on_phone", "app"),
    [
        ({}, False, "android"),
        ({"user_agent": ANDROID}, True, "android"),
        ({"user_agent": IPHONE}, True, "iphone"),
        ({"user_agent": DESKTOP}, False, "android"),
        ({"user_agent": DESKTOP.replace("X11; Linux", "Macintosh; Mac")}, False, "iphone"),
        ({"user_agent": DESKTOP, "sec_ch_ua_mobile": "?1"}, True, "android"),
    ],
)
def test_the_reader_s_device(headers, on_phone, app):
    reader = LANGUAGES.reader(asked(**headers))
    assert (reader.on_phone, reader.app) == (on_phone, app)


@each("page", PAGES.values())
@each("locale", LANGUAGES.words)
@each("on_phone", [True, False])
def test_every_blank_is_filled_in_every_language(page, locale, on_phone):
    html = painted(page, Reader(locale, on_phone, "android"), Platform("Bookwell", "Bookwell"))
    assert not re.search(r"\{\{|\}\}", html.partition('id="words">')[0])
    bare = re.findall(r'data-w="([^" ]*)[^"]*"[^>]*></', html)
    assert not [key for key in bare if not key.startswith(LATER)], "an element without its words"


class Reading(HTMLParser):
    """What a browser finds: the tags, and the data block."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.words = ""
        self._in_words = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._in_words = dict(attrs).get("id") == "words"

    def handle_endtag(self, tag: str) -> None:
        self._in_words = self._in_words and tag != "script"

    def handle_data(self, data: str) -> None:
        if self._in_words:
            self.words += data


def test_nothing_that_is_configured_becomes_markup():
    reader = Reader("en", False, "android")
    url = "https://a.example"
    plain = Reading(painted("index.html", reader, Platform("Bookwell", "Bookwell", url, url, "#0a7d4f", url)))
    for evil in (
        '<script src="//evil">',
        '"><img onerror=alert(1)>',
        "</title><b>",
        "{{words}}",
        "**bold**",
        "{platform}",
    ):
        url = "https://a.example/?a=1&b=\"'<x></a></style>"
        platform = Platform(evil, evil, url, url, "#0a7d4f", url)
        read = Reading(painted("index.html", reader, platform))
        assert read.tags == plain.tags, evil
        assert json.loads(read.words) == LANGUAGES.words["en"]


def test_the_words_in_the_page_cannot_end_their_block():
    languages = Languages(FRONTEND / "locales")
    languages.words["en"] = {**languages.words["en"], "page.title": "</script><b>"}
    painter = Painter(lambda name: (FRONTEND / name).read_text(), languages, str)
    read = Reading(painter.paint("index.html", Reader("en", True, "android"), Platform("B", "B")))
    assert json.loads(read.words)["page.title"] == "</script><b>"
    assert "b" not in read.tags[-3:]


def test_the_brand_is_in_the_first_bytes():
    platform = Platform("Bookwell", "Bookwell", accent="#0a7d4f", logo_url="https://cdn.example/logo.svg")
    html = painted("index.html", Reader("en", True, "android"), platform)
    head, body = html.split("</head>")
    assert "<title>Link WhatsApp · Bookwell</title>" in head
    assert f"<style>{platform.style}</style>" in head
    assert '<link rel="icon" href="https://cdn.example/logo.svg">' in head
    assert '<img class="logo" src="https://cdn.example/logo.svg" width="36" height="36" alt=""' in body
    assert re.search(r'<span class="mark"[^>]* hidden>', body)


def test_without_a_logo_the_initial_on_the_accent_stands_for_the_page():
    html = painted("index.html", Reader("en", True, "android"), Platform("<Åse>", "B", accent="#0a7d4f"))
    (icon,) = re.findall(r'<link rel="icon" href="([^"]*)">', html)
    assert icon.startswith("data:image/svg+xml,")
    drawn = unquote(icon)
    assert ElementTree.fromstring(drawn.partition(",")[2])[1].text == "<"
    assert "#0a7d4f" in drawn
    assert not re.search(r'<span class="mark"[^>]* hidden>', html)
