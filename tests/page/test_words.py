"""The locales: nothing missing in any language, nothing left over, every placeholder and plural form right."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from shared.core import qr
from shared.core.failures import Act, FailureCode
from shared.core.lifecycle import State

FRONTEND = Path(__file__).resolve().parent.parent.parent / "frontend"
LOCALES = sorted(path.stem for path in (FRONTEND / "locales").glob("*.json"))
MODULES = [*FRONTEND.glob("*.js"), *FRONTEND.glob("view/*.js")]

#: The forms that a count of people or seconds can take (CLDR). The `many` of Romance languages begins at a million.
PLURALS = {
    **{locale: {"one", "other"} for locale in ("de", "en", "es", "fr", "hi", "it", "kk", "pt-BR", "tr")},
    **{locale: {"one", "few", "many", "other"} for locale in ("ru", "uk")},
    "ar": {"zero", "one", "two", "few", "many", "other"},
    "he": {"one", "two", "other"},
    "id": {"other"},
}

#: Read from right to left.
RIGHT_TO_LEFT = {"ar", "he"}

#: The same in several languages, and rightly so.
SAME = {
    "language.dir",
    "language.sentence",
    "guide.app.android",
    "guide.app.iphone",
    "guide.app.business",
    "phone.reads",
    "trust.undo",
    "act.cancel",
    "foot.privacy",
}

#: Words of ours that mean nothing to an owner.
JARGON = re.compile(
    r"\b(session|token|pairing|socket|server|snapshot|worker|retry|jid|сесси\w+|токен\w*|сервер\w*|sess[aã]o|servidor|sesi[oó]n \w+ id)\b",
    re.IGNORECASE,
)

#: A key as it stands in the code, whole or with a part that is put in.
KEY = re.compile(r"""["`]([a-z][\w.${}-]*)["`]""")


def read(locale: str) -> dict[str, Any]:
    """The texts of a language; a key twice is an error."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        assert len(keys) == len(set(keys)), [key for key in keys if keys.count(key) > 1]
        return dict(pairs)

    texts: dict[str, Any] = json.loads((FRONTEND / "locales" / f"{locale}.json").read_text(), object_pairs_hook=once)
    return texts


def forms(text: str | dict[str, str]) -> list[str]:
    """A text's forms: one, or those of the plural."""
    return [text] if isinstance(text, str) else list(text.values())


def placeholders(text: str) -> set[str]:
    return set(re.findall(r"\{(\w+)\}", text))


@pytest.mark.parametrize("locale", LOCALES)
def test_every_state_failure_and_act_has_its_words(locale: str) -> None:
    texts = read(locale)
    needed = {f"state.{state.value}" for state in State}
    needed |= {f"failure.{code.value}.{part}" for code in FailureCode for part in ("title", "text")}
    assert needed <= texts.keys(), needed - texts.keys()
    known = {key.split(".")[1] for key in texts if key.startswith("failure.")}
    assert known == {code.value for code in FailureCode}
    assert {key.split(".")[1] for key in texts if key.startswith("state.")} == {state.value for state in State}


def test_every_act_is_known_to_the_page() -> None:
    scene = (FRONTEND / "scene.js").read_text()
    for act in Act:
        assert f'case "{act.value}":' in scene


def test_the_page_counts_down_the_lives_that_codes_have() -> None:
    scene = (FRONTEND / "scene.js").read_text().replace("_", "")
    assert f"QRLIVESMS = [{qr.life_of(1)}, {qr.life_of(2)}];" in scene
    assert f"CODELIVESMS = {qr.LIFE_MS};" in scene


@pytest.mark.parametrize("locale", LOCALES)
def test_all_languages_say_the_same_things(locale: str) -> None:
    english, texts = read("en"), read(locale)
    assert list(texts) == list(english), set(texts) ^ set(english)
    for key, text in texts.items():
        wanted = set.union(*map(placeholders, forms(english[key])))
        assert isinstance(text, str) == isinstance(english[key], str), key
        for form in forms(text):
            assert form.strip() == form, key
            assert form, key
            assert placeholders(form) <= wanted, key
            assert form.count("**") == forms(english[key])[-1].count("**"), key
        assert set.union(*map(placeholders, forms(text))) >= wanted - {"minutes"}, key


@pytest.mark.parametrize("locale", LOCALES)
def test_plurals_have_every_form_of_the_language_and_only_those(locale: str) -> None:
    for key, text in read(locale).items():
        if not isinstance(text, str):
            assert text.keys() == PLURALS[locale], key
            assert all("{count}" in form for form in text.values()), key


@pytest.mark.parametrize("locale", [one for one in LOCALES if one != "en"])
def test_nothing_is_left_in_english(locale: str) -> None:
    english = read("en")
    same = {key for key, text in read(locale).items() if text == english[key]}
    assert same <= SAME


@pytest.mark.parametrize("locale", LOCALES)
def test_no_jargon(locale: str) -> None:
    for key, text in read(locale).items():
        for form in forms(text):
            assert not JARGON.search(form), f"{key}: {form}"


def most_letters(key: str) -> int:
    """How long a text may be: that of an ending, and that of the longest button that fits. Whether it fits, the tests of the
    states measure."""
    if key.startswith("act."):
        return 37
    if not key.startswith(("failure.", "step.")):
        return sys.maxsize
    return 42 if key.endswith(".title") else 115


@pytest.mark.parametrize("locale", LOCALES)
def test_what_is_too_long_is_listed(locale: str) -> None:
    texts = [(key, form) for key, text in read(locale).items() for form in forms(text)]
    assert [f"{len(form)} {key}: {form}" for key, form in texts if len(form) > most_letters(key)] == []


@pytest.mark.parametrize("locale", LOCALES)
def test_arrows_point_the_way_that_the_language_is_read(locale: str) -> None:
    texts = read(locale)
    assert texts["language.dir"] == ("rtl" if locale in RIGHT_TO_LEFT else "ltr")
    wrong = "→" if locale in RIGHT_TO_LEFT else "←"
    assert not [key for key, text in texts.items() for form in forms(text) if wrong in form]


def test_no_text_is_missing_or_left_over() -> None:
    code = "\n".join(path.read_text() for path in MODULES)
    patterns = [re.sub(r"\\\$\\\{.*?\\\}", "[^ ]+", re.escape(key)) for key in KEY.findall(code)]
    markup = "\n".join(path.read_text() for path in FRONTEND.glob("*.html"))
    patterns += [re.escape(key) for key in re.findall(r'data-w(?:-label)?="([\w.-]+)', markup)]
    patterns += [re.escape(key) for key in re.findall(r"=(menu\.[\w.]+)", markup)]
    known = re.compile("|".join(f"(?:{pattern})" for pattern in patterns))
    # The menus' names are values of the sentences round them.
    unused = [key for key in read("en") if not known.fullmatch(key) and not re.fullmatch(r"menu\.\w+", key)]
    assert unused == ["language.name"]


def test_nothing_is_inline_and_nothing_becomes_markup() -> None:
    for page in FRONTEND.glob("*.html"):
        assert not re.search(
            r"<style|\sstyle=|\son\w+=|<script(?![^>]*(?:src=|type=.application/json))", page.read_text()
        ), page.name
    for module in MODULES:
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", module.read_text()), (
            module
        )
