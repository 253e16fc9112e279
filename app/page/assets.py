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
from collections.abc import Callable, Mapping
from functools import cache, cached_property, lru_cache, partial
from pathlib import Path

import brotli
import rjsmin
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from app.page.look import Platform
from app.page.modules import joined
from app.page.paint import Languages, Painter, Reader, preferred

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
        taken = {"identity", *map(str.lower, preferred(asked.get("accept-encoding", "")))}
        encoding = next(one for one in self.bodies if one in taken)
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


class Files:
    """The page's files as they are now, by the part of their addresses behind `/static/`. Fresh ones keep their names, and
    stand as they were written."""

    def __init__(self, folder: Path, *, gallery: bool, fresh: bool) -> None:
        self._folder = folder
        self._fresh = fresh
        found = {path.relative_to(folder).as_posix() for glob in SERVED for path in folder.glob(glob)}
        self._names = sorted({STYLES} | (found if gallery else found - GALLERY))
        self.served: dict[str, Asset] = {}
        locales = "".join(self._text(name) for name in self._names if name.startswith("locales/"))
        # One hash for all languages: one each would weigh more than their names.
        self._words = _tag(locales.encode())
        self._addresses = {"locales/*.json": f"/static/*.{self._words}.json"}
        for name in self._names:
            self._prepare(name)
        self.languages = Languages(folder / "locales")
        self._painter = Painter(self._markup, self.languages, self._address)
        #: Painted when somebody needs it, since there are many languages and brands.
        self.page = lru_cache(maxsize=MOST_PAINTED)(self._paint)

    @cached_property
    def script(self) -> Asset:
        """For the integrator's page."""
        return self._asset(EMBED, self._text(EMBED))

    def _paint(self, page: str, reader: Reader, platform: Platform) -> Asset:
        return Asset(page, self._painter.paint(page, reader, platform).encode(), packs=not self._fresh)

    def _markup(self, name: str) -> str:
        return re.sub(r"\s*\n\s*", "\n", self._text(name))

    def _address(self, name: str) -> str:
        return f"/static/{name}" if self._fresh else self._addresses[name]

    def _text(self, name: str) -> str:
        if name == STYLES:
            parts = [one for one in self._names if one.startswith("styles/") and one not in GALLERY]
            return "\n".join(self._text(part) for part in parts)
        return (self._folder / name).read_text(encoding="utf-8")

    def _asset(self, name: str, text: str) -> Asset:
        return Asset(name, (text if self._fresh else stripped(name, text)).encode(), packs=not self._fresh)

    def _prepare(self, name: str) -> None:
        """Put a file into the table, under a name that changes with it. A part of something larger is not there."""
        path = Path(name)
        if self._fresh:
            self.served[name] = self._asset(name, self._text(name))
        elif (path.suffix != ".js" or name in ENTRIES) and (path.parent.name != "styles" or name in GALLERY):
            asset = self._asset(name, joined(name, self._text) if name in ENTRIES else self._text(name))
            version = self._words if name.startswith("locales/") else asset.etag
            hashed = f"{path.stem}.{version}{path.suffix}"
            self.served[hashed] = asset
            self._addresses[name] = f"/static/{hashed}"


class Assets:
    """All that the page is made of, and the gallery of its states where that is wished. `elsewhere` may send the
    browser that asks for the page to another address; `platform_of` tells whose page it asks for."""

    def __init__(
        self,
        *,
        platform_of: Callable[[Request], Platform],
        gallery: bool,
        fresh: bool,
        folder: Path = FRONTEND,
        elsewhere: Callable[[Request], Response | None] = lambda _request: None,
    ) -> None:
        self._elsewhere = elsewhere
        self._platform_of = platform_of
        self._pages = [path for path in PAGES if gallery or path == "/link"]
        self._kept = EACH_TIME if fresh else FOR_EVER
        read = partial(Files, folder, gallery=gallery, fresh=fresh)
        self._files = read if fresh else cache(read)
        self._files()  # a fault in them shows at the start

    def routes(self) -> list[BaseRoute]:
        """`/link`, perhaps `/states`, `/embed.js` and `/static/...`."""
        return [
            *(Route(path, self._page) for path in self._pages),
            Route(f"/{EMBED}", self._embed),
            Route("/static/{name:path}", self._file),
        ]

    async def _page(self, request: Request) -> Response:
        if away := self._elsewhere(request):
            return away
        files, platform = self._files(), self._platform_of(request)
        painted = files.page(PAGES[request.url.path], files.languages.reader(request), platform)
        answer = painted.answer(request.headers, EACH_TIME)
        answer.headers.update(platform.headers)
        answer.headers["vary"] = "accept-encoding, accept-language, cookie, user-agent, sec-ch-ua-mobile"
        return answer

    async def _file(self, request: Request) -> Response:
        asset = self._files().served.get(request.path_params["name"])
        if asset is None:
            raise HTTPException(404)
        return asset.answer(request.headers, self._kept)

    async def _embed(self, request: Request) -> Response:
        answer = self._files().script.answer(request.headers, FOR_AN_HOUR)
        # Also for pages that isolate themselves (COEP).
        answer.headers["cross-origin-resource-policy"] = "cross-origin"
        return answer
