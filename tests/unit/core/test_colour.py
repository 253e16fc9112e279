"""The accent and its shades can be read on every ground on which they stand."""

import random
import re
from pathlib import Path

import pytest

from shared.core.colour import AA, DARK, LIGHT, check_accent, contrast, dark_shades, light_shades

SHEET = (Path(__file__).parents[3] / "frontend" / "styles" / "base.css").read_text()


def named(name):
    """The colour of this name on light and on dark ground."""
    light, dark = re.findall(rf"--{name}: (#\w{{6}})", SHEET)
    return light, dark


def test_the_contrast_is_that_of_the_guidelines():
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)
    assert contrast("#0a7d4f", "#0a7d4f") == 1


def test_the_grounds_are_those_of_the_page():
    assert list(zip(LIGHT, DARK, strict=True)) == [named("surface"), named("paper"), named("sunken")]


def test_every_colour_that_passes_can_be_read_and_every_other_is_refused_with_one_that_passes():
    chance = random.Random(1)
    colours = [f"#{chance.randrange(1 << 24):06x}" for _ in range(1000)]
    passed = 0
    for colour in [*colours, "#000000", "#ffffff", "#0A7D4F"]:
        try:
            accent = check_accent(colour)
        except ValueError as error:
            assert min(contrast(colour, ground) for ground in LIGHT) < AA
            (instead,) = re.findall(r"(#\w{6}) would do", str(error))
            assert check_accent(instead) == instead
            continue
        passed += 1
        for shades, grounds, inks in (
            (light_shades(accent), LIGHT, (named("ink")[0], named("ink-soft")[0])),
            (dark_shades(accent), DARK, (named("ink")[1], named("ink-soft")[1])),
        ):
            pairs = [(shades.accent, ground) for ground in grounds]
            pairs += [(shades.words, shades.accent), (shades.words, shades.strong)]
            pairs += [(ink, shades.notice) for ink in inks]
            assert all(contrast(*pair) >= AA for pair in pairs), (colour, shades, pairs)
    assert passed > 100


@pytest.mark.parametrize(
    "text", ["", "red", "#fff", "#0a7d4", "0a7d4f", "#0a7d4f;}", "#0a7d4g", "#0a7d4f\n", "#०a7d4f"]
)
def test_a_malformed_colour_is_refused(text):
    with pytest.raises(ValueError, match="is not a colour such as #0a7d4f"):
        check_accent(text)
