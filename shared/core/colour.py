"""The one colour that a platform may choose, and its shades on light and on dark ground.

Contrast is that of WCAG 2: 4.5 to 1 for words (AA). The platform chooses the colour for light ground. For dark ground it
is mixed with white until words in it can be read there.
"""

import re
from collections.abc import Callable
from functools import lru_cache

from shared.core.datum import Datum

AA = 4.5
#: The grounds on which words in the accent stand: `--surface`, `--paper` and `--sunken` of `frontend/styles/base.css`.
LIGHT = ("#fffefc", "#f7f5f1", "#f3f0ea")
DARK = ("#211f1c", "#171614", "#1b1a17")
WHITE, BLACK = "#ffffff", "#000000"
_ON_DARK = 9.0
"""More than is needed, since bright words on dark ground seem thinner."""


class Shades(Datum):
    """The accent on one ground: itself, under the pointer, words on it, and the ground of a notice."""

    accent: str
    strong: str
    words: str
    notice: str


def check_accent(text: str) -> str:
    """The colour in lower case. Raises ValueError for what is no `#rrggbb`, and for a colour in which words on our light
    grounds could not be read; then with the nearest one that would do."""
    if not re.fullmatch(r"#[0-9A-Fa-f]{6}", text):
        raise ValueError("is not a colour such as #0a7d4f")
    colour = text.lower()
    if (found := _least(colour, LIGHT)) < AA:
        fit = _mixed_until(colour, BLACK, lambda one: _least(one, LIGHT) >= AA)
        raise ValueError(
            f"the contrast of {colour} to a light ground is {found:.1f} : 1, and words need {AA} : 1; {fit} would do"
        )
    return colour


def light_shades(accent: str) -> Shades:
    """The shades of an accent that `check_accent` has let through, on light ground."""
    return Shades(accent, mixed(accent, BLACK, 0.2), WHITE, mixed(LIGHT[0], accent, 0.08))


@lru_cache  # takes 1 ms, and each page and socket of a platform with a colour asks
def dark_shades(accent: str) -> Shades:
    """The shades of its dark partner: the same hue, readable on dark ground, with dark words on it."""
    partner = _mixed_until(accent, WHITE, lambda one: _least(one, DARK) >= _ON_DARK)
    return Shades(partner, mixed(partner, WHITE, 0.3), mixed(accent, BLACK, 0.75), mixed(DARK[0], partner, 0.14))


def contrast(one: str, other: str) -> float:
    """The contrast of two colours, from 1 to 21."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def mixed(one: str, other: str, share: float) -> str:
    """`one` with so much of the `other` in it, from 0 to 1."""
    pairs = zip(bytes.fromhex(one[1:]), bytes.fromhex(other[1:]), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)


def _mixed_until(colour: str, other: str, fits: Callable[[str], bool]) -> str:
    """The colour with as little of the `other` in it as makes it fit."""
    steps = (mixed(colour, other, step / 100) for step in range(101))
    return next(one for one in steps if fits(one))


def _least(colour: str, grounds: tuple[str, ...]) -> float:
    return min(contrast(colour, ground) for ground in grounds)


def _luminance(colour: str) -> float:
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in (one / 255 for one in bytes.fromhex(colour[1:]))
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
