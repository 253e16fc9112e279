"""Takes secrets out of text that leaves the process: phones, QR texts, pairing codes, tokens, keys.

The net under everything else: our own code does not log them in the first place, but libraries' messages are theirs.
"""

import re
from typing import Any

HIDDEN = "[hidden]"

_SECRETS = re.compile(
    "|".join(  # noqa: FLY002 - one a line, each with its reason
        (
            r"https://wa\.me/settings/linked_devices\S*",  # a QR text
            r"\b2@[\w+/=,@-]{20,}",  # a QR text of the older form
            r"\beyJ[\w-]+\.[\w-]+\.[\w-]+",  # a signed token
            r"(?:rediss?|postgres(?:ql)?|https?|socks5)://[^\s/@]*:[^\s/@]*@",  # a password inside a URL
            r"\b\d{6,15}(?:[.:]\d+)*@(?:s\.whatsapp\.net|lid)\b",  # a device's name
            r"(?<![\w.])\+?\d[\d ()\u2010-\u2015-]{8,18}\d(?![\w.])",  # a phone
            r"\b[1-9A-HJ-NP-TV-Z]{4}-[1-9A-HJ-NP-TV-Z]{4}\b",  # a pairing code
        )
    )
)


def text(value: str) -> str:
    """`value` with every secret in it replaced by `[hidden]`."""
    return _SECRETS.sub(HIDDEN, value)


def deep(value: Any) -> Any:
    """The same through dicts, lists and tuples; other values are returned as they are."""
    if isinstance(value, str):
        return text(value)
    if isinstance(value, dict):
        return {key: deep(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(deep(one) for one in value)
    return value
