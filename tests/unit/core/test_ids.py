"""Ids are checked where they enter, because they become names of keys and files."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from shared.core.ids import CompanyId, SessionId, company_id, company_of, session_of
from tests.each import each


@each("text", ["a", "1", "salon-1", "Salon_1.de", "a" * 64, "550e8400-e29b-41d4-a716-446655440000", "a.."])
def test_a_company_goes_into_its_session_and_comes_out_again(text):
    assert session_of(company_id(text)) == f"company_{text}"
    assert company_of(session_of(company_id(text))) == text


@each(
    "text",
    ["", " ", "a b", "-a", ".a", "_a", "..", "../etc", "a/b", "a\n", "\na", "ü", "a" * 65, "a:b", "a*", "a\x00", "１"],
)
def test_names_that_could_harm_a_key_or_a_file_are_no_company_ids(text):
    with pytest.raises(ValueError, match="company id"):
        company_id(text)
    with pytest.raises(ValueError):
        company_of(SessionId(f"company_{text}"))


@each("text", ["", "salon", "Company_salon", " company_salon", "company-salon", "xcompany_salon"])
def test_only_a_session_id_has_a_company(text):
    with pytest.raises(ValueError, match="session id"):
        company_of(SessionId(text))


@given(some.text(max_size=70))
def test_every_company_id_is_a_plain_file_name(text):
    try:
        company = company_id(text)
    except ValueError:
        return
    assert company.isascii()
    assert not set(company) & set("/\\:*?[] \n\r\t\0")
    assert session_of(CompanyId(company)) not in {".", ".."}
