"""A name for an attempt that an owner can read out to support: six letters and digits, such as `K7M-2QX`.

The page makes it by itself (`frontend/reference.js`), and `onboarding timeline` finds the attempt by it. It is no secret:
thirty bits of FNV-1a.
"""

import re

SIGNS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Without I, L, O and U, which are read as others, or make words."""

_ALIKE = str.maketrans("OIL", "011")
_WRITTEN = re.compile(rf"([{SIGNS}]{{3}})[-\s]?([{SIGNS}]{{3}})")
_WORD = 0xFFFFFFFF


def reference_of(session: str, attempt: int) -> str:
    hashed = 0x811C9DC5
    for char in f"{session}/{attempt}":
        hashed = ((hashed ^ ord(char)) * 0x01000193) & _WORD
    hashed ^= hashed >> 30
    signs = "".join(SIGNS[(hashed >> shift) & 31] for shift in (25, 20, 15, 10, 5, 0))
    return f"{signs[:3]}-{signs[3:]}"


def read_reference(text: str) -> str | None:
    """The reference in a text that a person has written down, in our spelling; None if there is none."""
    found = _WRITTEN.fullmatch(text.strip().upper().translate(_ALIKE))
    return f"{found[1]}-{found[2]}" if found else None
