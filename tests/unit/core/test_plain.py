"""What people are shown holds nothing unseen, and what a terminal is shown steers nothing."""

import contextlib
import json
import sys
import unicodedata

import pytest

from shared.core.plain import check_shown, defused
from tests.each import each

#: Code points that hide, turn or break a text, by why.
UNSEEN = {
    "controls": (*range(0x20), *range(0x7F, 0xA0)),
    "soft hyphen and the like": (0xAD, 0x600, 0x61C, 0x6DD, 0x70F, 0x180E),
    "marks of direction": (0x200E, 0x200F, 0x202A, 0x202B, 0x202C, 0x202D, 0x202E, 0x2066, 0x2067, 0x2068, 0x2069),
    "no width": (0x200B, 0x2060, 0x2061, 0x2064, 0xFEFF),
    "ends of lines": (0x2028, 0x2029, 0x85),
    "marks between lines": (0xFFF9, 0xFFFA, 0xFFFB),
    "tags": (0xE0001, *range(0xE0020, 0xE0080)),
    "of nobody": (0xE000, 0xF8FF, 0xFFFE, 0xFFFF, 0x10FFFF, 0xFDD0),
    "halves": (0xD800, 0xDBFF, 0xDC00, 0xDFFF),
    "drawn as nothing": (0x34F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0),
    "music": (0x1D159, 0x1D173, 0x1D17A),
}


@each("point", [one for points in UNSEEN.values() for one in points])
def test_no_unseen_character_is_shown(point):
    for text in (f"Salon {chr(point)}Aurora", f"{chr(point)}Salon", f"Salon{chr(point)}", chr(point)):
        with pytest.raises(ValueError, match=rf"^holds the invisible character U\+{point:04X}, "):
            check_shown(text)


def test_of_all_that_unicode_has_none_turns_or_breaks_a_text():
    """The table above, against the whole of it: whatever has a direction of its own to give, or ends a line."""
    turning = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI", "B", "S", "BN"}
    left = []
    for point in range(sys.maxunicode + 1):
        char = chr(point)
        if unicodedata.bidirectional(char) in turning and char not in "\u200c\u200d":
            try:
                check_shown(f"a{char}b")
                left.append(hex(point))
            except ValueError:
                pass
    assert left == []


@each(
    "text",
    ["Sa{}lon", "Салон{}", "{}Salon", "S {}A", "می{0}{0}رود", "💇{0}{0}", "Salon 1{}2", "ｓａ{}ｌ", "Σα{}λ", "-{}"],
)
@each("point", [0x200C, 0x200D, 0xFE00, 0xFE0E, 0xFE0F, 0xE0100, 0xE01EF, 0x180B, 0x180F])
def test_a_joiner_or_selector_that_changes_nothing_is_not_shown(text, point):
    if text == "Salon 1{}2" and point in {0xFE0E, 0xFE0F}:
        return  # as in a keycap
    with pytest.raises(ValueError, match=rf"^holds the invisible character U\+{point:04X}, "):
        check_shown(text.format(chr(point)))


def test_of_what_unicode_lets_programs_ignore_nothing_stands_behind_a_letter():
    """Default_Ignorable_Code_Point, by its ranges."""
    ranges = [(0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F),
              (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF),
              (0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF)]  # fmt: skip
    left = []
    for point in (one for first, last in ranges for one in range(first, last + 1)):
        with contextlib.suppress(ValueError):
            left.append(hex(ord(check_shown(f"Sa{chr(point)}lon")[2])))
    assert left == []


@each("text", ["", " ", "\u00a0", "\u3000\u2003", "\u200d", "\u200c \u200d", "\ufe0f", "\u0301", " \u0301\u200d "])
def test_a_text_that_shows_nothing_is_refused(text):
    with pytest.raises(ValueError, match=r"must show something|^holds the invisible character"):
        check_shown(text)


@each(
    "text",
    [
        "Салон «Аврора»",
        "سالن می\u200cرود",
        "सैलून",
        "क्\u200dष",
        "美容院",
        "Café 💇🏽\u200d♀️",
        "🏳️\u200d🌈 ❤️\u200d🔥",
        "1️⃣ ‼️ ℹ️ ™️",
        "۲۰\u200cساله",
        "ന്\u200d",
        "র\u200d্য",
        "葛\U000e0100飾",
        "ᠠ\u180b",
        "e\u0301",
        "🏴",
        "3",
        "!",
        "₸",
        "ß",
    ],
)
def test_names_of_every_script_are_shown(text):
    assert check_shown(f"  {text} ") == text


@each("point", [*UNSEEN["controls"], *UNSEEN["marks of direction"], *UNSEEN["tags"], 0x2028, 0xFEFF, 0xD800])
def test_a_terminal_is_steered_by_nothing(point):
    char, end = chr(point), "\n"
    assert (char in defused(f"a{char}b")) is (char == end)
    assert json.loads(defused(json.dumps({"a": f"x{char}y"}, ensure_ascii=False))) == {"a": f"x{char}y"}


def test_what_steers_nothing_stays_as_it_is():
    for text in ("Салон", "a\nb", "سالن می\u200cرود", "", "\u00a0"):
        assert defused(text) == text
