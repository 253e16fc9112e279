"""Text that is shown to people: it has no unseen characters and nothing that changes its direction."""

import unicodedata

_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Controls, marks of direction and other unseen marks, halves of characters, separators of lines."""
_JOINERS = frozenset({"\u200c", "\u200d"})
"""Persian, Hindi and emoji need them."""


def check_shown(text: str) -> str:
    """The text, without blanks around it. Raises ValueError for unseen characters, and for a text that shows nothing."""
    bad = next((char for char in text if char not in _JOINERS and unicodedata.category(char) in _UNSEEN), None)
    if bad is not None:
        raise ValueError(f"the character U+{ord(bad):04X} is not shown, and is not allowed here")
    if not text.strip():
        raise ValueError("it shows nothing")
    return text.strip()
