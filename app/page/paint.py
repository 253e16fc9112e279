"""The page's first paint: its HTML with the words of the right language, the right brand and the likely first scene, so
that nothing on the screen moves when the modules arrive.

The markup stands in `frontend/*.html`. Here its blanks are filled: `{{name}}` by a value, an element with `data-w="key"`
by the words of that key, an attribute `{{hidden on phone}}` by `hidden` or by nothing. The modules draw the same words
into the same nodes later (`frontend/dom.js`), which a test holds them to.
"""

import json
import re
from collections.abc import Callable, Mapping
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from starlette.requests import Request

from app.page.look import Platform
from app.page.whereabouts import LANGUAGE
from shared.core.colour import light_shades
from shared.core.datum import Datum

Words = Mapping[str, Any]

#: Chosen on the page, and kept by its browser for us to see. Not by Python's own parser, which takes a second for some
#: 16 KB (CVE-2024-7592).
_CHOICE = re.compile(r"(?:^|; ?)lang=([\w-]+)")
_AGENT_LENGTH = 500
"""More of a browser's name is not looked through."""
DEFAULT = "en"
#: Stands in for a name that is not known yet. It is as wide as a name, so that no line moves when that comes
#: (`view.js`).
COMPANY = "…" + "\u00a0" * 14

_PHONE = re.compile(r"iPhone|iPod|Android.*Mobile")
_APPLE = re.compile(r"iPhone|iPad|iPod|Macintosh")
_BLANK = re.compile(r"\{\{([^}]+)\}\}")
_WORDED = re.compile(r'(<(?P<tag>\w+)[^>]*\sdata-w="(?P<spec>[^"]+)"[^>]*>)(</(?P=tag)>)')
_LABELLED = re.compile(r'data-w-label="([^"]+)"')
#: Texts that show only later: the modules word them, and the page need not carry them twice.
LATER = ("act.fix-phone", "act.open-app", "after.", "checks.", "guide.business", "guide.open.business")
_NAME = re.compile(r"\{(\w+)\}")
#: Without alt, because the name stands beside it. The logo's server does not learn which link was opened.
_LOGO = '<img class="logo" src="{}" width="36" height="36" alt="" referrerpolicy="no-referrer" fetchpriority="low">'
#: Before the page's own, so that it misses nothing.
_EMBEDDED = '<script type="module" src="{}" data-embedder="{}"></script>'
_ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="10" fill="{}"/>'
    '<text x="16" y="23" font-family="system-ui,sans-serif" font-size="20" font-weight="700" text-anchor="middle" '
    'fill="{}">{}</text></svg>'
)
#: First strong isolate, and its end.
_ISOLATED = ("\u2068", "\u2069")


class Reader(Datum):
    """The reader of the page: language, phone or computer, and which WhatsApp app to describe."""

    locale: str
    on_phone: bool
    app: str


class Languages:
    """The languages that there are: one file each in `frontend/locales`."""

    def __init__(self, folder: Path) -> None:
        self.words: dict[str, Words] = {
            path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))
        }

    def reader(self, request: Request) -> Reader:
        """Language and region of the reader: a choice made here counts first, then the link's, then the browser's."""
        agent = request.headers.get("user-agent", "")[:_AGENT_LENGTH]
        choice = _CHOICE.search(request.headers.get("cookie", ""))
        on_phone = bool(_PHONE.search(agent)) or request.headers.get("sec-ch-ua-mobile") == "?1"
        wishes = [
            choice[1] if choice else "",
            request.query_params.get(LANGUAGE, ""),
            *preferred(request.headers.get("accept-language", "")),
        ]
        locale = next((found for wish in wishes if (found := self._fitting(wish))), DEFAULT)
        return Reader(locale, on_phone, "iphone" if _APPLE.search(agent) else "android")

    def _fitting(self, wish: str) -> str | None:
        if wish in self.words:
            return wish
        language = wish.partition("-")[0].lower()
        return next((one for one in self.words if one.partition("-")[0] == language), None)


def preferred(header: str) -> list[str]:
    """The values of an Accept-Language or Accept-Encoding header, the best first, without those that it refuses by `q=0`."""
    weighed = []
    for place, wish in enumerate(header.split(",")[:20]):
        name, _, weight = wish.partition(";")
        try:
            weighed.append((-float(weight.strip().lower().removeprefix("q=") or 1), place, name.strip()))
        except ValueError:
            continue
    return [name for weight, _, name in sorted(weighed) if weight < 0]


class Painter:
    """Fills the markup. `address` gives the address of a file of the page."""

    def __init__(self, read: Callable[[str], str], languages: Languages, address: Callable[[str], str]) -> None:
        self._read = read
        self._languages = languages
        self._address = address

    def paint(self, page: str, reader: Reader, platform: Platform) -> str:
        """The HTML of `page` for this reader, as the page of this platform."""
        words = self._languages.words[reader.locale]
        menu = {key[5:]: str(text) for key, text in words.items() if re.fullmatch(r"menu\.\w+", key)}
        known = menu | {"platform": platform.name, "device": platform.device, "company": COMPANY}
        html = self._read(page).replace("{{skeleton}}", self._read("skeleton.html"))
        # The words first: what is put into a blank is never taken for markup of ours.
        html = _WORDED.sub(
            lambda found: (
                found[0]
                if found["spec"].startswith(LATER)
                else found[1] + _pieces(words, known, found["spec"]) + found[4]
            ),
            html,
        )
        html = _LABELLED.sub(lambda found: f'{found[0]} aria-label="{escape(str(words[found[1]]))}"', html)
        blanks = self._blanks(reader, platform, words, known)
        return _BLANK.sub(lambda found: blanks[found[1]] if found[1] in blanks else self._static(found[1]), html)

    def _static(self, blank: str) -> str:
        kind, _, name = blank.partition(" ")
        if kind != "static":
            raise KeyError(blank)
        return escape(self._address(name))

    def _blanks(self, reader: Reader, platform: Platform, words: Words, known: Mapping[str, str]) -> dict[str, str]:
        step = "form" if reader.on_phone else "opening"
        support, privacy, logo = platform.support_url, platform.privacy_url, platform.logo_url
        texts = {
            "lang": reader.locale,
            "dir": str(words["language.dir"]),
            "tab": f"{words['page.title']} · {platform.name}",
            "platform": platform.name,
            "called": platform.device,
            "initial": platform.initial,
            "device": "phone" if reader.on_phone else "desktop",
            "app": reader.app,
            "step": step,
            "method": "code" if reader.on_phone else "qr",
            "title": str(words[f"step.{step}.title"]),
            "text": _filled(str(words[f"step.{step}.text"]), known, words),
            "turn": str(words["act.use-qr" if reader.on_phone else "act.use-code"]),
        }
        attributes = {
            "open": "" if reader.on_phone else " open",
            "hidden on phone": " hidden" if reader.on_phone else "",
            "hidden on desktop": "" if reader.on_phone else " hidden",
            "checked android": " checked" if reader.app == "android" else "",
            "checked iphone": " checked" if reader.app == "iphone" else "",
            "hidden without foot": "" if support or privacy else " hidden",
            "support": f' href="{escape(support)}"' if support else " hidden",
            "privacy": f' href="{escape(privacy)}"' if privacy else " hidden",
            "icon": escape(_icon(platform) or self._address("icon.svg")),
            "style": f"<style>{platform.style}</style>" if platform.style else "",
            "embedded": _EMBEDDED.format(self._address("embedded.js"), platform.embed_origin)
            if platform.embed_origin
            else "",
            "logo": _LOGO.format(escape(logo)) if logo else "",
            "hidden with logo": " hidden" if logo else "",
            "languages": self._options(reader),
            # It stands in a data block, which only its own end tag ends.
            "words": json.dumps(words, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"),
        }
        return {name: escape(text) for name, text in texts.items()} | attributes

    def _options(self, reader: Reader) -> str:
        return "".join(
            f'<option value="{locale}"'
            f"{' selected' if locale == reader.locale else ''}>{escape(str(words['language.name']))}</option>"
            for locale, words in self._languages.words.items()
        )


def _icon(platform: Platform) -> str | None:
    """Icon of the page's tab: the logo, else the initial on the accent; None for the service's own."""
    if platform.logo_url or not platform.accent:
        return platform.logo_url
    shades = light_shades(platform.accent)
    return "data:image/svg+xml," + quote(_ICON.format(shades.accent, shades.words, escape(platform.initial)))


def _filled(text: str, values: Mapping[str, str], words: Words) -> str:
    """The text with its values. Between right-to-left words each keeps its own direction, as in `frontend/i18n.js`."""
    before, after = _ISOLATED if words["language.dir"] == "rtl" else ("", "")
    return _NAME.sub(lambda found: before + values[found[1]] + after, text)


def _pieces(words: Words, known: Mapping[str, str], spec: str) -> str:
    """The words of an element as HTML: every second piece between `**` is bold."""
    key, *own = spec.split(" ")
    values = {**known, **{name: str(words[other]) for name, _, other in (pair.partition("=") for pair in own)}}
    pieces = [escape(_filled(piece, values, words)) for piece in str(words[key]).split("**")]
    return "".join(f"<b>{piece}</b>" if place % 2 else piece for place, piece in enumerate(pieces))
