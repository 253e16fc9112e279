"""Numbers as people type them: understood, shown back, corrected; the caret stays where it was."""

import pytest
from playwright.sync_api import Page, expect

from shared.core import phone as server_phone
from tests.page.conftest import PHONE, OpenPage
from tests.page.server import Script

#: typed, region, shown in the field, sent
NUMBERS = [
    ("89001234567", "RU", "8 900 123-45-67", "+79001234567"),
    ("+7 900 123-45-67", "RU", "+7 900 123-45-67", "+79001234567"),
    ("9001234567", "RU", "900 123-45-67", "+79001234567"),
    ("79001234567", "RU", "+7 900 123-45-67", "+79001234567"),
    ("007 (900) 123 45 67", "RU", "+7 900 123-45-67", "+79001234567"),
    ("8 (900) 123-45-67", "RU", "8 900 123-45-67", "+79001234567"),
    ("+77011234567", "RU", "+7 701 123-45-67", "+77011234567"),
    ("+5511912345678", "RU", "+55 11 91234-5678", "+5511912345678"),
    ("11912345678", "BR", "11 91234-5678", "+5511912345678"),
    ("011912345678", "BR", "0 11 91234-5678", "+5511912345678"),
    ("0049 151 23456789", "DE", "+49 151 2345-6789", "+4915123456789"),
    ("0151 2345 6789", "DE", "0 151 2345-6789", "+4915123456789"),
    ("+34612345678", "ES", "+34 612 345-678", "+34612345678"),
    ("(212) 736-5000", "US", "212 736-5000", "+12127365000"),
    ("12127365000", "US", "1 212 736-5000", "+12127365000"),
    ("+375291234567", "RU", "+375 29 123-45-67", "+375291234567"),
    ("+96171123456", "RU", "+961 711 234 56", "+96171123456"),
]

READ = """async ([typed, region]) => {
    const {readPhone} = await import("/static/phone-number.js");
    const {shown, send} = readPhone(typed, region);
    return [shown, send];
}"""


@pytest.fixture(scope="module")
def module_page(chromium, server):
    """A page in which modules can be tried."""
    server.reset()
    page = chromium.new_page()
    page.goto(f"{server.url}/link")
    yield page
    page.close()


@pytest.mark.parametrize(("typed", "region", "shown", "sent"), NUMBERS)
def test_a_number_is_read_as_the_server_reads_it(
    module_page: Page, typed: str, region: str, shown: str, sent: str
) -> None:
    assert module_page.evaluate(READ, [typed, region]) == [shown, sent]
    # What the field has made of it is, for the server, what was typed.
    assert server_phone.parse(shown, region) == sent


@pytest.mark.parametrize("typed", ["8", "89", "+", "+7", "00", "0", "123456789012345678", "+123456789012345"])
def test_typing_and_deleting_never_gets_stuck(module_page: Page, typed: str) -> None:
    shown, _ = module_page.evaluate(READ, [typed, "RU"])
    again, _ = module_page.evaluate(READ, [shown, "RU"])
    assert again == shown
    shorter, _ = module_page.evaluate(READ, [shown[:-1], "RU"])
    assert len(shorter) < len(shown)


def test_flag_country_and_number_are_shown_back(open_page: OpenPage, script: Script) -> None:
    page = open_page(PHONE, locale="ru-RU")
    page.goto(f"{script.url}/link#the-token")
    field = page.get_by_test_id("phone")
    field.press_sequentially("89001234567")
    expect(page.locator("form")).to_contain_text("Россия: +7 900 123-45-67")
    field.fill("+5511912345678")
    expect(page.locator("form")).to_contain_text("Бразилия: +55 11 91234-5678")
    expect(page.locator(".chip")).to_have_text("🇧🇷 +55")


def test_the_caret_stays_where_somebody_corrects(phone: Page) -> None:
    field = phone.get_by_test_id("phone")
    field.press_sequentially("89001234567")
    field.evaluate("(input) => input.setSelectionRange(5, 5)")
    field.press("Backspace")
    expect(field).to_have_value("8 901 234-56-7")
    field.press("5")
    expect(field).to_have_value("8 905 123-45-67")
    assert field.evaluate("(input) => input.selectionStart") == 5
