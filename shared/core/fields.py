"""Kinds of values that come from outside: each is checked in one way, for the settings, the API and the page."""

import re
from typing import Annotated
from urllib.parse import urlsplit

import phonenumbers
from pydantic import AfterValidator, HttpUrl, WithJsonSchema

from shared.core.plain import check_shown

UNREADABLE = re.compile("[\ud800-\udfff]")
"""Marks that Python keeps in place of bytes that are not UTF-8, in arguments and in the environment."""
_HOST = re.compile(r"[a-z0-9_.-]+|\[[0-9a-f:.]+\]")


def origin_of(url: str) -> str:
    """The origin of an http URL, as browsers write it: without the port that its scheme implies. Raises ValueError."""
    parts = urlsplit(url)
    return str(HttpUrl(f"{parts.scheme}://{parts.netloc}")).rstrip("/")


def url_text(url: HttpUrl | None) -> str | None:
    """A URL as text, if there is one."""
    return str(url) if url is not None else None


def _origin(text: str) -> str:
    parts = urlsplit(text)
    odd = any(one in parts.netloc for one in "@*") or parts.path.strip("/")
    if parts.scheme not in {"http", "https"} or not parts.hostname or odd:
        raise ValueError("is no origin: write it as https://platform.example")
    return origin_of(text)


def read_region(text: str) -> str:
    """A country's two letters in capitals. Raises ValueError."""
    if text.upper() not in phonenumbers.SUPPORTED_REGIONS:
        raise ValueError("is not a country of two letters, such as RU")
    return text.upper()


def _no_user(url: HttpUrl) -> HttpUrl:
    if url.username or url.password:
        raise ValueError("names a user: no URL here may")
    return url


def _secure(url: HttpUrl) -> HttpUrl:
    """The URL. Raises ValueError unless its origin can stand in a page's policy."""
    if url.scheme != "https":
        raise ValueError("must begin with https://")
    if not _HOST.fullmatch(url.host or ""):
        raise ValueError("has a host that is no name and no address")
    return _no_user(url)


Shown = Annotated[str, AfterValidator(check_shown)]
Region = Annotated[
    str,
    AfterValidator(read_region),
    WithJsonSchema({"type": "string", "minLength": 2, "maxLength": 2, "pattern": "^[A-Za-z]{2}$"}),
]
Url = Annotated[HttpUrl, AfterValidator(_no_user)]
SecureUrl = Annotated[HttpUrl, AfterValidator(_secure)]
Origin = Annotated[str, AfterValidator(_origin)]
