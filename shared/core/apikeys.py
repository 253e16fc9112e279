"""API keys: how `API_KEYS` writes them, and how one is made.

An entry is the key itself, or `name:sha256:<hex>` with its scopes behind a colon: `billing:sha256:9f…:links+companies`.
A hashed entry keeps the key out of the environment. A key without scopes may do everything.
"""

import hashlib
import re
import secrets
from collections.abc import Iterable
from enum import StrEnum

from shared.core.datum import Datum

MIN_LENGTH = 16
_MARK = ":sha256:"
_HASHED = re.compile(r"(?P<name>[a-z0-9][a-z0-9-]{0,31}):sha256:(?P<digest>[0-9a-f]{64})(:(?P<scopes>[a-z+]+))?")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")


class Scope(StrEnum):
    """A part of the API that a key may be limited to."""

    LINKS = "links"
    COMPANIES = "companies"
    MESSAGES = "messages"
    OPS = "ops"


class ApiKey(Datum):
    """A key as the service knows it: by the digest of its text alone."""

    name: str
    digest: bytes
    scopes: frozenset[Scope]


def digest_of(key: str) -> bytes:
    """The SHA-256 of a key. A key is long and random, so a slow hash would protect nothing more."""
    return hashlib.sha256(key.encode()).digest()


def read_api_keys(entries: Iterable[str]) -> tuple[ApiKey, ...]:
    """The keys of `API_KEYS`; a plain entry is named by its place. Raises ValueError, whose text quotes no entry."""
    made = tuple(_read(entry, number) for number, entry in enumerate(entries, 1))
    if not made:
        raise ValueError("must hold at least one key")
    if len({one.name for one in made}) < len(made):
        raise ValueError("gives one name to two keys")
    return made


def _read(entry: str, number: int) -> ApiKey:
    if _MARK not in entry:
        if len(entry) < MIN_LENGTH:
            raise ValueError(f"has an entry of less than {MIN_LENGTH} characters")
        return ApiKey(f"key-{number}", digest_of(entry), frozenset(Scope))
    found = _HASHED.fullmatch(entry)
    if found is None:
        raise ValueError("has an entry that is not name:sha256:<64 hex digits>[:scope+scope]")
    return ApiKey(found["name"], bytes.fromhex(found["digest"]), read_scopes(found["scopes"] or ""))


def read_scopes(text: str) -> frozenset[Scope]:
    """The scopes in `links+companies`; all of them for an empty text. Raises ValueError."""
    known = {one.value: one for one in Scope}
    names = text.split("+") if text else list(known)
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"names the scope {unknown[0]!r}: there are {', '.join(known)}")
    return frozenset(known[name] for name in names)


def make_api_key(name: str, scopes: frozenset[Scope]) -> tuple[str, str]:
    """A new key, and its entry for `API_KEYS`. Raises ValueError for a name that no entry can have."""
    if not _NAME.fullmatch(name) or re.fullmatch(r"key-\d+", name):
        raise ValueError("a name is 1-32 small letters, digits or '-', and not 'key-' and a number")
    key = f"wak_{secrets.token_urlsafe(32)}"
    limited = "" if scopes == frozenset(Scope) else ":" + "+".join(one.value for one in Scope if one in scopes)
    return key, f"{name}{_MARK}{digest_of(key).hex()}{limited}"
