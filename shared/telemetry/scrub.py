"""Takes secrets out of text that leaves the process: phones, QR texts, pairing codes, tokens, keys.

A safety net: our own code does not log secrets, but messages of libraries may hold them.
"""

import re
from datetime import date
from typing import Any

HIDDEN = "[hidden]"

_BLANK = r" \t\u00a0\u2000-\u200a\u202f"
_DASH = r"\u2010-\u2015\u2212\-"
_BEFORE = r"(?<!\w)(?<!\d\.)"  # neither inside a word or id, nor behind a decimal point
_AFTER = r"(?!\w|\.\d)"

#: In quotes, or without and no number: ours have numbers as well.
_VALUE = r"""(?:"[^"]{3,200}"|'[^']{3,200}'|["']?(?!\d+\b)[^\s"',;&]{6,})"""

#: Numbers that look like a phone and are none; found first, they stay.
_KEPT = (
    r"\b[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}\b",  # a uuid
    # a date, a moment
    r"(?<![\w+-])20\d\d-[01]\d-[0-3]\d(?:[T ][0-2]\d:[0-5]\d(?::[0-5]\d(?:[.,]\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)?)?(?![\w-])",
    r"(?<![\w.+-])1[78]\d{11}(?![\w.-]|[.:_\d]{0,40}@)",  # ms since the epoch, until 2030; no country has such a number
)
_SECRETS = (
    r"https://wa\.me/settings/linked_devices\S*",  # a QR text
    r"\b2@[\w+/=,@-]{20,}",  # a QR text of the older form
    r"\beyJ[\w-]+\.[\w-]+\.[\w-]*",  # a signed token
    r"\b(?i:bearer)\s+[^\s\"',;]{8,}",  # an API key on its way
    r"\b(?i:basic)\s+(?=[a-z]*[A-Z0-9+/=])[A-Za-z0-9+/=]{8,}",
    r"\b(?:wak_|whsec_|AGE-SECRET-KEY-1)[\w+/=-]{16,}",  # keys that we make
    rf"(?i:password|passwd|secret|secret[_-]?key|token|api[_-]?key)[\"']?\s*[=:]\s*{_VALUE}",
    r"\b[A-Za-z][A-Za-z0-9+.-]{0,20}://[^\s/@:]{0,128}:[^\s@]{0,256}@",  # a password inside a URL
    r"\b\d{5,20}(?:[.:_]\d{1,9}){0,3}@(?:s\.whatsapp\.net|lid|c\.us|g\.us|hosted|msgr)\b",  # a device's, person's, group's name
    r"(?:%2|\\u002)[Bb]\d{7,15}",  # a phone in a query or in JSON
    rf"{_BEFORE}\d{{10,17}}[._]\d{{1,3}}:\d{{1,5}}\b",  # the library's name for somebody's keys
    rf"\+\d(?:[{_BLANK}{_DASH}()./]{{0,2}}\d){{6,16}}{_AFTER}",  # with its country
    rf"{_BEFORE}\d(?:[{_BLANK}{_DASH}()]{{0,2}}\d){{9,17}}{_AFTER}",  # ten digits and more
    rf"(?P<short>{_BEFORE}\d(?:[{_BLANK}{_DASH}()]{{0,2}}\d){{7,8}}{_AFTER})",  # eight or nine digits, if in groups
    rf"{_BEFORE}\d{{1,4}}(?:\.\d{{2,4}}){{4,}}{_AFTER}",  # 06.12.34.56.78: an address has four groups
    rf"{_BEFORE}\d{{3}}\.\d{{3}}\.\d{{4}}{_AFTER}",
    rf"{_BEFORE}0\d{{1,5}}[{_BLANK}]?/[{_BLANK}]?\d[\d{_BLANK}{_DASH}]{{3,10}}\d{_AFTER}",  # 030/1234567
    r"\b[1-9A-HJ-NP-TV-Z]{4}-[1-9A-HJ-NP-TV-Z]{4}\b",  # a pairing code
)
_FOUND = re.compile(f"(?P<kept>{'|'.join(_KEPT)})|{'|'.join(_SECRETS)}")


def text(value: str) -> str:
    """`value` with every secret in it replaced by `[hidden]`."""
    return _FOUND.sub(_hidden, value)


def _hidden(found: re.Match[str]) -> str:
    harmless = found.lastgroup == "kept" or (found.lastgroup == "short" and found[0].isdigit())
    return found[0] if harmless else HIDDEN


def deep(value: Any) -> Any:
    """`value` without secrets, through dicts, lists and tuples. Numbers and times stay; others become their text."""
    match value:
        case str():
            return text(value)
        case None | int() | float() | date():
            return value
        case dict():
            return {key: deep(one) for key, one in value.items()}
        case list():
            return [deep(one) for one in value]
        case tuple():
            return tuple(deep(one) for one in value)
        case bytes():
            return text(value.decode(errors="replace"))
        case _:
            return text(str(value))
