"""Numbers as people type them: understood, shown back, corrected; their country guessed, chosen, and told the server."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from app.page.modules import joined
from shared.core import phone as server_phone
from tests.page.conftest import PHONE, OpenPage
from tests.page.server import Script
from tests.page.written_numbers import NUMBERS

FRONTEND = Path(__file__).resolve().parents[2] / "frontend"

#: typed, region, shown in the field
SHOWN = [
    ("89001234567", "RU", "8 900 123-45-67"),
    ("+7 900 123-45-67", "RU", "+7 900 123-45-67"),
    ("9001234567", "RU", "900 123-45-67"),
    ("79001234567", "RU", "+7 900 123-45-67"),
    ("007 (900) 123 45 67", "RU", "+7 900 123-45-67"),
    ("+5511912345678", "RU", "+55 11 91234-5678"),
    ("011912345678", "BR", "0 11 91234-5678"),
    ("5512345678", "MX", "55 1234-5678"),
    ("0151 2345 6789", "DE", "0 151 2345-6789"),
    ("12127365000", "US", "1 212 736-5000"),
    ("+96171123456", "RU", "+961 71 123-456"),
]

#: What stands out of the list's box, or is too small for a thumb.
MEASURE_INSIDE = """() => {
    const dialog = document.querySelector("dialog");
    const {left, right} = dialog.getBoundingClientRect();
    return [...dialog.querySelectorAll("input, button, li, li > span")].filter((node) => {
        const box = node.getBoundingClientRect();
        return box.left < left || box.right > right || (node.localName !== "span" && box.height < 43.9);
    }).map((node) => node.outerHTML.slice(0, 120));
}"""

READ = """
const typed = (text, region) => [...text].reduce((value, char) => readPhone(value + char, region).shown, "");
const read = ([text, region, way]) => readPhone(way === "typed" ? typed(text, region) : text, region);
const answers = asked.map(read);
"""


@pytest.fixture(scope="module")
def read_all(request: pytest.FixtureRequest):
    """What the page makes of many numbers at once: by Node, or in Chromium where there is none."""
    code = joined("phone-number.js", lambda name: (FRONTEND / name).read_text())

    def read(asked: list[tuple[str, ...]]) -> list[dict[str, Any]]:
        script = f"{code}\nconst asked = {json.dumps(asked)};{READ}"
        if node := shutil.which("node"):
            command = [node, "--input-type=module"]
            done = subprocess.run(
                command, input=f"{script}\nconsole.log(JSON.stringify(answers));", capture_output=True, text=True
            )
            assert done.returncode == 0, done.stderr
            answers: list[dict[str, Any]] = json.loads(done.stdout)
            return answers
        chromium: Browser = request.getfixturevalue("chromium")
        page = chromium.new_page()
        found: list[dict[str, Any]] = page.evaluate(f"() => {{ {script}\nreturn answers; }}")
        page.close()
        return found

    return read


@pytest.mark.parametrize("way", ["pasted", "typed"])
def test_numbers_of_forty_countries_are_read_as_the_server_reads_them_and_shown_back(read_all, way: str) -> None:
    asked = [(text, region, way) for region, (_, ways) in NUMBERS.items() for text in ways]
    assert len(NUMBERS) >= 40
    faults = []
    for (text, region, _), read in zip(asked, read_all(asked), strict=True):
        wanted = NUMBERS[region][0]
        back = "+" + "".join(filter(str.isdigit, read["international"]))
        sent = server_phone.parse(read["send"], region)
        if read["fault"] or {wanted} != {sent, back}:
            faults.append(f"{region} {text!r}: sent {read['send']}, read {sent}, shown {read['international']}")
    assert not faults, "\n".join(faults)


def test_a_number_is_written_as_people_there_write_it(read_all) -> None:
    for (_, _, wanted), read in zip(SHOWN, read_all([(*one[:2], "pasted") for one in SHOWN]), strict=True):
        assert read["shown"] == wanted


def test_typing_and_deleting_never_gets_stuck(read_all) -> None:
    starts = ["8", "89", "+", "+7", "00", "0", "123456789012345678", "+123456789012345"]
    starts += [text[:length] for _, ways in NUMBERS.values() for text in ways for length in range(1, len(text) + 1)]
    for region in ("RU", "MX", "US", "DE"):
        shown = [one["shown"] for one in read_all([(text, region, "pasted") for text in starts])]
        again = [one["shown"] for one in read_all([(text, region, "pasted") for text in shown])]
        assert again == shown
        shorter = [one["shown"] for one in read_all([(text[:-1], region, "pasted") for text in shown])]
        for before, after in zip(shown, shorter, strict=True):
            assert sum(map(str.isdigit, after)) < sum(map(str.isdigit, before)) or len(after) < len(before), (
                before,
                after,
            )


def test_flag_country_and_number_are_shown_back(open_page: OpenPage, script: Script) -> None:
    page = open_page(PHONE, locale="ru-RU")
    page.goto(f"{script.url}/link#the-token")
    field = page.get_by_test_id("phone")
    field.press_sequentially("89001234567")
    expect(page.get_by_test_id("phone-reads")).to_have_text("Россия: +7 900 123-45-67")
    field.fill("+5511912345678")
    expect(page.get_by_test_id("phone-reads")).to_have_text("Бразилия: +55 11 91234-5678")
    expect(page.get_by_test_id("country")).to_have_text("🇧🇷 +55")


GUESSES = [
    ("the expected number", {"phoneHint": "+525512345678", "linkRegion": "BR"}, "en-GB", "+52"),
    ("the link's region", {"linkRegion": "BR"}, "en-GB", "+55"),
    ("the browser's region", {"linkRegion": None}, "en-GB", "+44"),
    ("the browser's time zone", {"linkRegion": None}, "es", "+52"),
]


@pytest.mark.parametrize(("by", "profile", "locale", "dial"), GUESSES, ids=[row[0] for row in GUESSES])
def test_the_country_is_guessed(
    open_page: OpenPage, script: Script, by: str, profile: dict[str, Any], locale: str, dial: str
) -> None:
    script.profile |= profile
    page = open_page(PHONE, locale=locale, timezone_id="America/Mexico_City")
    page.goto(f"{script.url}/link#the-token")
    expect(page.locator("main")).to_have_attribute("data-link", "ready")
    expect(page.get_by_test_id("country")).to_contain_text(dial)


def test_a_language_that_is_none_does_no_harm(open_page: OpenPage, script: Script) -> None:
    script.profile["linkRegion"] = None
    page = open_page(PHONE, timezone_id="UTC")
    page.add_init_script("Object.defineProperty(navigator, 'languages', {value: ['C', '', 'pt_BR']})")
    page.goto(f"{script.url}/link#the-token")
    expect(page.locator("main")).to_have_attribute("data-link", "ready")
    expect(page.get_by_test_id("country")).to_contain_text("+55")


def test_where_nothing_else_is_known_the_server_s_region_counts(open_page: OpenPage, script: Script) -> None:
    script.profile |= {"linkRegion": None, "region": "KZ"}
    page = open_page(PHONE, locale="ru", timezone_id="UTC")
    page.goto(f"{script.url}/link#the-token")
    expect(page.get_by_test_id("country")).to_contain_text("+7")
    page.get_by_test_id("phone").fill("8 701 123 45 67")
    page.get_by_test_id("get-code").tap()
    assert script.wait_command("request-pairing-code") == {
        "type": "request-pairing-code",
        "phoneNumber": "+77011234567",
        "region": "KZ",
    }


@pytest.mark.parametrize("wanted", ["mexi", "México", "MX", "+52"])
def test_a_country_is_found_by_name_letters_or_code_and_told_the_server(
    open_page: OpenPage, script: Script, wanted: str
) -> None:
    page = open_page(PHONE, locale="es-AR")
    page.goto(f"{script.url}/link#the-token")
    page.get_by_test_id("country").tap()
    search = page.get_by_test_id("country-search")
    expect(search).to_be_focused()
    search.fill(wanted)
    expect(page.get_by_role("option", name="México")).to_have_attribute("aria-selected", "true")
    search.press("Enter")
    expect(page.get_by_test_id("phone")).to_be_focused()
    expect(page.get_by_test_id("country")).to_have_text("🇲🇽 +52")
    page.get_by_test_id("phone").press_sequentially("55 1234 5678")
    expect(page.get_by_test_id("phone-reads")).to_have_text("México: +52 55 1234-5678")
    page.get_by_test_id("get-code").tap()
    command = script.wait_command("request-pairing-code")
    assert (command["phoneNumber"], command["region"]) == ("+525512345678", "MX")


@pytest.mark.parametrize("locale", ["en", "ar", "de"])
def test_the_list_of_countries_fits_the_narrowest_phone(open_page: OpenPage, script: Script, locale: str) -> None:
    page = open_page(PHONE, locale=locale, viewport={"width": 320, "height": 568})
    page.goto(f"{script.url}/link#the-token")
    page.get_by_test_id("country").tap()
    expect(page.locator("li[aria-selected]")).to_be_in_viewport()
    assert page.evaluate(MEASURE_INSIDE) == []


def test_another_country_takes_the_number_along(phone: Page) -> None:
    phone.get_by_test_id("phone").fill("+7 912 345 67 89")
    phone.get_by_test_id("country").tap()
    phone.get_by_test_id("country-search").fill("Poland")
    phone.get_by_role("option", name="Poland").tap()
    expect(phone.get_by_test_id("phone")).to_have_value("+48 912 345-6789")


def test_the_list_of_countries_is_left_without_a_choice(phone: Page) -> None:
    for close in ("Escape", None):
        phone.get_by_test_id("country").tap()
        phone.get_by_test_id("country-search").fill("zzz")
        expect(phone.get_by_role("dialog")).to_contain_text("No country found.")
        if close:
            phone.keyboard.press(close)
        else:
            phone.get_by_test_id("country-close").tap()
        expect(phone.get_by_role("dialog")).to_be_hidden()
    expect(phone.get_by_test_id("country")).to_contain_text("+7")


def test_the_caret_stays_where_somebody_corrects(phone: Page) -> None:
    field = phone.get_by_test_id("phone")
    field.press_sequentially("89001234567")
    field.evaluate("(input) => input.setSelectionRange(5, 5)")
    field.press("Backspace")
    expect(field).to_have_value("8 901 234-56-7")
    field.press("5")
    expect(field).to_have_value("8 905 123-45-67")
    assert field.evaluate("(input) => input.selectionStart") == 5
