"""Faults of the links of a built site."""

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

_LOADED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src", "object": "data"}
"""Elements whose address a browser fetches by itself."""
_TALK = {"canonical", "next", "prev", "index", "search"}
"""Relations of a `link` that are only said."""


class _Page(HTMLParser):
    """A page's anchors, its links, and what it loads."""

    def __init__(self) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: set[str] = set()
        self.loads: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what the element has."""
        given = {key: value or "" for key, value in attrs}
        self.anchors |= {given[key] for key in ("id", "name") if key in given}
        if tag == "a" and "href" in given:
            self.links.add(given["href"])
        address = given.get(_LOADED.get(tag, ""), "")
        if address and given.get("rel", "") not in _TALK:
            self.loads.add(address)


def faults(site: Path) -> list[str]:
    """A line for each link that leads nowhere, and for each page that asks another host for something."""
    pages = {path.resolve(): _read(path) for path in site.rglob("*.html")}
    found = []
    for path, page in pages.items():
        here = path.relative_to(site.resolve()).as_posix()
        found += [f"{here} loads {one}" for one in sorted(page.loads) if urlsplit(one).netloc]
        for link in sorted(page.links | page.loads):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.exists():
                found.append(f"{here} links to {link}: no such file")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
                found.append(f"{here} links to {link}: no such place on that page")
    return found


def _read(path: Path) -> _Page:
    page = _Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page
