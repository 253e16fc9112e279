"""The page's files: read, joined and made small once, so that an answer is a look into a table.

Only what is in the table is served, so no path leads out of it. Each name holds a hash of what it names, so that a
browser asks for it once in its life; only the page itself is asked for each time. Fresh files, for development, are
read anew for each request and go out as they stand, so that an edit shows and a line number is right.
"""

import base64
import gzip
import hashlib
import json
import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import brotli
import rjsmin
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from app.page.look import Platform, PlatformOf
from app.page.modules import joined
from app.page.paint import Languages, Painter, Reader
from app.page.whereabouts import Elsewhere

FRONTEND = Path(__file__).resolve().parents[2] / "frontend"

#: Files that a browser asks for. Not the markup, the types, the settings of tools and the READMEs that lie beside it.
SERVED = ("*.js", "*.svg", "view/*.js", "styles/*.css", "locales/*.json")
#: All of `styles/`, in the order of their names: three answers would carry the same headers thrice.
STYLES = "styles.css"
#: For the integrator's page, under a name that stays.
EMBED = "embed.js"
#: Bundles, each of the modules behind it: the page, the gallery, and the parts that only some need.
ENTRIES = ("main.js", "states.js", "embedded.js", "view/country-list.js")
#: The gallery of states, and what only it loads.
GALLERY = frozenset({"states.js", "fixtures.js", "fixtures-qr.js", "styles/gallery.css"})
PAGES = {"/link": "index.html", "/states": "states.html"}
#: Each byte of a header is paid for. Modules and JSON are UTF-8 without being told so.
MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}
#: A name with a hash in it says one thing for ever.
FOR_EVER = "public, max-age=31536000, immutable"
MOST_PAINTED = 200
"""Pages that are kept as they were painted: 40 KB each."""
FOR_AN_HOUR = "public, max-age=3600"
#: The page is asked for each time: what it is depends on who asks.
EACH_TIME = "private, no-cache"


def stripped(name: str, text: str) -> str:
    """Without comments and needless blanks. A template literal inside another is beyond rjsmin; a test forbids it."""
    if name.endswith(".js"):
        code: str = rjsmin.jsmin(text)
        return code
    if name.endswith(".css"):
        text = re.sub(r"\s*\n\s*", "\n", re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)).strip()
        text = re.sub(r"(?<=[;{},])\n|\n(?=})| (?={)", "", text)
        return re.sub(r"(?<=[;{])([\w-]+): ", r"\1:", text).replace(";}", "}")
    if name.endswith(".json"):
        return json.dumps(json.loads(text), ensure_ascii=False, separators=(",", ":"))
    return text


class Asset:
    """A file as it travels. It is packed when somebody first asks for it: a web process starts at once."""

    def __init__(self, name: str, body: bytes, *, packs: bool = True) -> None:
        self.media_type = MEDIA_TYPES[Path(name).suffix]
        self.etag = _tag(body)
        self._body = body
        self._packs = packs

    @cached_property
    def bodies(self) -> Mapping[str, bytes]:
        """The body in each encoding that pays, the best first; the plain one always is the last."""
        body = self._body
        if not self._packs:
            return {"identity": body}
        packed = {"br": brotli.compress(body, quality=11), "gzip": gzip.compress(body, 9, mtime=0)}
        return {name: one for name, one in packed.items() if len(one) < len(body)} | {"identity": body}

    def answer(self, asked: Headers, cache: str) -> Response:
        """The best that the browser takes; 304 when it has that."""
        encoding = next(one for one in self.bodies if one == "identity" or _accepts(asked, one))
        # Strong: another encoding is another representation, with a tag of its own.
        tag = f'"{self.etag}{encoding[0]}"'
        headers = {"etag": tag, "cache-control": cache, "vary": "accept-encoding"}
        known = {one.strip().removeprefix("W/") for one in asked.get("if-none-match", "").split(",")}
        if known & {tag, "*"}:
            return Response(status_code=304, headers=headers)
        if encoding != "identity":
            headers["content-encoding"] = encoding
        return Response(self.bodies[encoding], headers=headers | {"content-type": self.media_type})


def _tag(body: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(body).digest()[:6]).decode()


def _accepts(asked: Headers, encoding: str) -> bool:
    for wish in asked.get("accept-encoding", "").split(","):
        name, _, weight = wish.partition(";")
        if name.strip().lower() == encoding:
            return not re.fullmatch(r"\s*q=0(\.0*)?\s*", weight, re.IGNORECASE)
    return False


class Assets:
    """All that the page is made of, and the gallery of its states where that is wished. `elsewhere` may send the
    browser that asks for the page to another address; `platform_of` tells whose page it asks for."""

    def __init__(
        self,
        *,
        platform_of: PlatformOf,
        gallery: bool,
        fresh: bool,
        folder: Path = FRONTEND,
        elsewhere: Elsewhere = lambda _request: None,
    ) -> None:
        self._elsewhere = elsewhere
        self._platform_of = platform_of
        self._folder = folder
        self._gallery = gallery
        self._fresh = fresh
        self._files: dict[str, Asset] = {}
        self._addresses: dict[str, str] = {}
        if not fresh:
            names = sorted(self._names())
            locales = "".join(self._text(name) for name in names if name.startswith("locales/"))
            words = _tag(locales.encode())
            # One hash for all languages: one each would weigh more than their names.
            self._addresses["locales/*.json"] = f"/static/*.{words}.json"
            for name in names:
                self._prepare(name, words if name.startswith("locales/") else None)
        self._script = None if fresh else self._read_script()
        self._painter = None if fresh else self._make_painter()
        self._painted: dict[tuple[str, Reader, Platform], Asset] = {}

    def routes(self) -> list[BaseRoute]:
        """`/link`, perhaps `/states`, `/embed.js` and `/static/...`."""
        pages = [path for path in PAGES if self._gallery or path == "/link"]
        return [
            *(Route(path, self._page) for path in pages),
            Route(f"/{EMBED}", self._embed),
            Route("/static/{name:path}", self._file),
        ]

    async def _page(self, request: Request) -> Response:
        if away := self._elsewhere(request):
            return away
        platform = self._platform_of(request)
        answer = self._paint(request, platform).answer(request.headers, EACH_TIME)
        answer.headers.update(platform.headers)
        answer.headers["vary"] = "accept-encoding, accept-language, cookie, user-agent, sec-ch-ua-mobile"
        return answer

    def _paint(self, request: Request, platform: Platform) -> Asset:
        """The page as this browser gets it: made when somebody needs it, since there are many languages and brands."""
        page = PAGES[request.url.path]
        languages, painter = self._painter or self._make_painter()
        which = page, languages.reader(request), platform
        asset = self._painted.pop(which, None)
        if asset is None:
            asset = Asset(page, painter.paint(*which).encode(), packs=not self._fresh)
        if not self._fresh:
            self._painted[which] = asset  # behind the others: the front was asked for longest ago
            if len(self._painted) > MOST_PAINTED:
                del self._painted[next(iter(self._painted))]
        return asset

    async def _file(self, request: Request) -> Response:
        name: str = request.path_params["name"]
        asset = self._files.get(name)
        if self._fresh and name in self._names():
            asset = Asset(name, self._text(name).encode(), packs=False)
        if asset is None:
            raise HTTPException(404)
        return asset.answer(request.headers, FOR_EVER if f"/static/{name}" in self._addresses.values() else EACH_TIME)

    async def _embed(self, request: Request) -> Response:
        script = self._script or self._read_script()
        answer = script.answer(request.headers, FOR_AN_HOUR)
        # Also for pages that isolate themselves (COEP).
        answer.headers["cross-origin-resource-policy"] = "cross-origin"
        return answer

    def _read_script(self) -> Asset:
        return Asset(EMBED, stripped(EMBED, self._text(EMBED)).encode())

    def _make_painter(self) -> tuple[Languages, Painter]:
        languages = Languages(self._folder / "locales")
        return languages, Painter(self._markup, languages, self._address)

    def _markup(self, name: str) -> str:
        return re.sub(r"\s*\n\s*", "\n", self._text(name))

    def _address(self, name: str) -> str:
        return f"/static/{name}" if self._fresh else self._addresses[name]

    def _names(self) -> set[str]:
        found = {path.relative_to(self._folder).as_posix() for glob in SERVED for path in self._folder.glob(glob)}
        return {STYLES} | (found if self._gallery else found - GALLERY)

    def _text(self, name: str) -> str:
        if name == STYLES:
            parts = sorted(one for one in self._names() - GALLERY if one.startswith("styles/"))
            return "\n".join(self._text(part) for part in parts)
        return (self._folder / name).read_text(encoding="utf-8")

    def _prepare(self, name: str, version: str | None) -> None:
        """Put a file into the table, under a name that changes with it. A part of something larger is not there."""
        path = Path(name)
        if path.suffix == ".js" and name not in ENTRIES:
            return
        if path.parent.name == "styles" and name not in GALLERY:
            return
        text = joined(name, self._text) if name in ENTRIES else self._text(name)
        asset = Asset(name, stripped(name, text).encode())
        hashed = f"{path.stem}.{version or asset.etag}{path.suffix}"
        self._files[hashed] = asset
        self._addresses[name] = f"/static/{hashed}"
