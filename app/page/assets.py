"""The page's files: read and made small once, at the start, so that an answer is a look into a table.

Only what is in the table is served, so no path leads out of it. Fresh files, for development, are read anew for each
request and go out as they stand, so that an edit shows and a line number is right.
"""

import base64
import gzip
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import brotli
import rjsmin
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from app.page.whereabouts import Elsewhere

FRONTEND = Path(__file__).resolve().parents[2] / "frontend"

#: What a browser asks for. Not the types, the settings of tools and the READMEs that lie beside it.
SERVED = ("*.html", "*.js", "*.svg", "view/*.js", "styles/*.css", "locales/*.json")
#: All of `styles/`, in the order of their names: three answers would carry the same headers thrice.
STYLES = "styles.css"
#: The gallery of states, and what only it loads.
GALLERY = frozenset({"states.html", "states.js", "fixtures.js", "fixtures-qr.js", "styles/gallery.css"})
PAGES = {"/link": "index.html", "/states": "states.html"}
#: Each byte of a header is paid for thirty times. Modules and JSON are UTF-8 without being told so.
MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}


def stripped(name: str, text: str) -> str:
    """Without comments and needless blanks. A template literal inside another is beyond rjsmin; a test forbids it."""
    if name.endswith(".js"):
        code: str = rjsmin.jsmin(text)
        return code
    if name.endswith(".css"):
        return re.sub(r"\s*\n\s*", "\n", re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)).strip()
    if name.endswith(".json"):
        return json.dumps(json.loads(text), ensure_ascii=False, separators=(",", ":"))
    return text


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it travels: its body in each encoding, the best first."""

    media_type: str
    bodies: Mapping[str, bytes]
    etag: str

    @classmethod
    def made(cls, name: str, body: bytes, encodings: Mapping[str, bytes]) -> "Asset":
        """With the encodings that pay; the plain body always is the last."""
        digest = base64.urlsafe_b64encode(hashlib.sha256(body).digest()[:6]).decode()
        paying = {encoding: packed for encoding, packed in encodings.items() if len(packed) < len(body)}
        return cls(MEDIA_TYPES[Path(name).suffix], paying | {"identity": body}, digest)

    def answer(self, asked: Headers) -> Response:
        """The best that the browser takes; 304 when it has that."""
        encoding = next(one for one in self.bodies if one == "identity" or _accepts(asked, one))
        # Strong: another encoding is another representation, with a tag of its own.
        tag = f'"{self.etag}{encoding[0]}"'
        headers = {"etag": tag, "cache-control": "no-cache", "vary": "accept-encoding"}
        known = {one.strip().removeprefix("W/") for one in asked.get("if-none-match", "").split(",")}
        if known & {tag, "*"}:
            return Response(status_code=304, headers=headers)
        if encoding != "identity":
            headers["content-encoding"] = encoding
        return Response(self.bodies[encoding], headers=headers | {"content-type": self.media_type})


def _accepts(asked: Headers, encoding: str) -> bool:
    for wish in asked.get("accept-encoding", "").split(","):
        name, _, weight = wish.partition(";")
        if name.strip().lower() == encoding:
            return not re.fullmatch(r"\s*q=0(\.0*)?\s*", weight, re.IGNORECASE)
    return False


class Assets:
    """All that the page is made of, and the gallery of its states where that is wished. `elsewhere` may send the
    browser that asks for the page to another address."""

    def __init__(
        self, *, gallery: bool, fresh: bool, folder: Path = FRONTEND, elsewhere: Elsewhere = lambda _request: None
    ) -> None:
        self._elsewhere = elsewhere
        self._folder = folder
        self._gallery = gallery
        self._fresh = fresh
        self._prepared = {} if fresh else {name: self._prepare(name) for name in self._names()}

    def routes(self) -> list[BaseRoute]:
        """`/link`, perhaps `/states`, and `/static/...`."""
        pages = [path for path, name in PAGES.items() if self._gallery or name not in GALLERY]
        return [*(Route(path, self._page) for path in pages), Route("/static/{name:path}", self._file)]

    async def _page(self, request: Request) -> Response:
        return self._elsewhere(request) or self._answer(PAGES[request.url.path], request)

    async def _file(self, request: Request) -> Response:
        name: str = request.path_params["name"]
        if name in PAGES.values():
            raise HTTPException(404)
        return self._answer(name, request)

    def _answer(self, name: str, request: Request) -> Response:
        asset = self._prepared.get(name)
        if self._fresh and name in self._names():
            asset = Asset.made(name, self._text(name).encode(), {})
        if asset is None:
            raise HTTPException(404)
        return asset.answer(request.headers)

    def _names(self) -> set[str]:
        found = {path.relative_to(self._folder).as_posix() for glob in SERVED for path in self._folder.glob(glob)}
        return {STYLES} | (found if self._gallery else found - GALLERY)

    def _text(self, name: str) -> str:
        if name == STYLES:
            parts = sorted(one for one in self._names() - GALLERY if one.startswith("styles/"))
            return "\n".join(self._text(part) for part in parts)
        return (self._folder / name).read_text(encoding="utf-8")

    def _prepare(self, name: str) -> Asset:
        body = stripped(name, self._text(name)).encode()
        packed = {"br": brotli.compress(body, quality=11), "gzip": gzip.compress(body, 9, mtime=0)}
        return Asset.made(name, body, packed)
