"""Text that is shown to people: it has no unseen characters and nothing that changes its direction."""

import json
import unicodedata
from itertools import pairwise

_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Controls, marks of direction and other unseen marks, halves of characters, separators of lines."""
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0\U0001d159")
"""Letters and marks that are drawn as nothing."""
_JOINERS = frozenset({"\u200c", "\u200d"})
"""Persian, Hindi and emoji need them."""
_SELECTORS = frozenset(map(chr, (*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))
"""They choose the form of the character before them: of emoji, and of Chinese, Japanese and Mongolian letters."""
_KEYCAPS = frozenset(f"{key}{selector}" for key in "0123456789#*" for selector in "\ufe0e\ufe0f")
"""Characters of ASCII that have another form."""
_SEEN = frozenset("LNPS")
"""Letters, numbers, punctuation, symbols; not marks alone, which sit on one of these."""


def _is_unseen(char: str) -> bool:
    return char not in _JOINERS and (char in _BLANK or unicodedata.category(char) in _UNSEEN)


def _hides(char: str, before: str) -> bool:
    """True for a joiner or selector that changes nothing: behind a blank, another of them, a letter with capitals, ASCII."""
    if char in _JOINERS:
        idle = before in _JOINERS or before.isascii()
    elif char in _SELECTORS:
        idle = before in _JOINERS | _SELECTORS or (before.isascii() and before + char not in _KEYCAPS)
    else:
        return False
    return idle or before.isspace() or before.lower() != before.upper()


def check_shown(text: str) -> str:
    """The text, without blanks around it. Raises ValueError for unseen characters, and for a text that shows nothing."""
    bad = next((char for before, char in pairwise(f" {text}") if _is_unseen(char) or _hides(char, before)), None)
    if bad is not None:
        raise ValueError(f"holds the invisible character U+{ord(bad):04X}, which is not allowed here")
    if not any(unicodedata.category(char)[0] in _SEEN for char in text):
        raise ValueError("must show something")
    return text.strip()


def defused(text: str) -> str:
    r"""The text as a terminal may have it: it steers nothing. Ends of lines stay; other unseen characters are written as
    JSON escapes them (`\u001b`), so that JSON stays JSON."""
    if text.isprintable():
        return text
    return "".join(json.dumps(char)[1:-1] if char != "\n" and _is_unseen(char) else char for char in text)
