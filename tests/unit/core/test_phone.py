"""What people type becomes E.164 or a clear refusal; what is shown hides the rest."""

import phonenumbers
import pytest
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from shared.core import phone
from shared.core.failures import FailureCode, Refused
from tests.each import each

#: Where many people are, and where numbering is strange (AR, BR, MX, IT, SG, CI, HK, DE, AT).
REGIONS = """
    RU KZ UA BY UZ KG TJ AM AZ GE TR DE AT CH FR BE NL LU GB IE ES PT IT GR PL CZ SK HU RO BG RS HR SI EE LV LT FI SE NO
    DK IS US CA MX BR AR CL CO PE VE IN PK BD ID MY SG TH VN PH HK JP KR AU NZ ZA NG KE EG MA CI IL AE SA
""".split()  # noqa: SIM905 - a table of fifty lines reads worse


def example(region, kind=PhoneNumberType.MOBILE):
    return phonenumbers.example_number_for_type(region, kind)


@each(
    "typed",
    ["89001234567", "+7 900 123-45-67", "9001234567", "8 (900) 123-45-67", " 8-900-1234567 ", "007 900 1234567"],
)
def test_every_way_of_writing_one_number_gives_one_number(typed):
    assert phone.parse(typed, "RU") == "+79001234567"


@each("region", ["BR", "DE", "EG", "IR", "RU"])
@each("written", ["00{}", "+{}", "{}", "(00{})"])
@each(
    "digits",
    ["٠١٢٣٤٥٦٧٨٩", "۰۱۲۳۴۵۶۷۸۹", "０１２３４５６７８９", "०१२३४५६७८९"],
    ids=["arabic", "persian", "wide", "hindi"],
)
def test_digits_of_other_scripts_are_read_as_ours(region, written, digits):
    typed = written.format("38972345678")
    assert reading(typed.translate(str.maketrans("0123456789", digits)), region) == reading(typed, region)


@each("typed", ["00821020000000", "821020000000", "081234-56789", "+7 900 123-45-67"])
@each(
    "changed",
    [
        lambda text: f"\u200e{text}",
        lambda text: f"\u202a{text}\u202c",
        lambda text: f"{text[:3]}\u200b{text[3:]}",
        lambda text: text.replace("-", "\u2011"),
        lambda text: text.replace(" ", "\u00a0"),
    ],
    ids=["left-to-right", "embedded", "zero width", "hard hyphen", "hard blank"],
)
def test_marks_that_nobody_sees_change_no_number(typed, changed):
    assert reading(changed(typed), "RU") == reading(typed, "RU") != "refused"


def reading(typed, region):
    """What a text is read as, by those who are asked and by those who send."""
    try:
        return phone.parse(typed, region), phone.recipient(typed, region)
    except Refused:
        return "refused"


@each(
    "typed",
    [
        "8900",
        "abc123",
        "+1234567890123456",
        "",
        " ",
        "+",
        "1-800-FLOWERS",
        "8900123456",
        "890012345678",
        "+7 900 123-45-67 ext 5",
        "+999 123 456 789",
        "112",
        "💈",
        "8900123456七",
        "0" * 64,
        "\x00",
        "+7 900 123-45-67;isub=1x",
    ],
)
def test_a_text_that_is_no_phone_is_refused_with_the_field_at_fault(typed):
    with pytest.raises(Refused) as refused:
        phone.parse(typed, "RU")
    assert (refused.value.code, refused.value.field) == (FailureCode.INVALID_PHONE, "phoneNumber")


def test_fifty_regions_and_more_are_looked_at():
    assert len(set(REGIONS)) > 50


@each("region", REGIONS)
def test_a_regions_own_mobile_is_understood_however_it_is_written(region):
    number = example(region)
    wanted = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    nationally = phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL)
    internationally = phonenumbers.format_number(number, PhoneNumberFormat.INTERNATIONAL)
    assert phone.parse(nationally, region) == wanted
    assert phone.parse(internationally, region) == wanted
    assert phone.parse(internationally, "RU") == wanted
    assert phone.parse("00" + wanted[1:], "DE") == wanted
    assert phone.parse(wanted, "RU") == wanted


@each("region", REGIONS)
def test_a_number_with_sixteen_digits_is_refused_everywhere(region):
    number = phonenumbers.format_number(example(region), PhoneNumberFormat.E164)
    with pytest.raises(Refused):
        phone.parse(number.ljust(len("+") + 16, "0"), region)


@each(
    ("region", "kind"),
    [("GB", PhoneNumberType.PREMIUM_RATE), ("DE", PhoneNumberType.SHARED_COST), ("RU", PhoneNumberType.PREMIUM_RATE)],
)
def test_lines_that_cannot_carry_whatsapp_are_refused(region, kind):
    with pytest.raises(Refused):
        phone.parse(phonenumbers.format_number(example(region, kind), PhoneNumberFormat.E164), region)


@each("region", REGIONS)
def test_a_masked_number_shows_its_country_and_four_digits_only(region):
    number = example(region)
    e164 = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    shown = phone.masked(e164)
    country, hidden, *last = shown.split(" ")
    assert country == f"+{number.country_code}"
    assert set(hidden) <= {"•"}
    assert "".join(last) == e164[-4:]
    assert len(hidden) + 4 == len(e164) - len(country)


@each("nonsense", ["", "79001234567", "+", "hello 79001234567", "+0000", "1"])
def test_masking_nonsense_shows_at_most_two_of_its_characters(nonsense):
    shown = phone.masked(nonsense)
    assert len(shown.replace("•", "").strip()) <= 2


@each(
    ("one", "other"),
    [
        ("+5511987654321", "+551187654321"),
        ("+5215512345678", "+525512345678"),
        ("+5491123456789", "+541123456789"),
        ("+79001234567", "+79001234567"),
    ],
)
def test_a_countrys_two_ways_of_writing_are_one_account(one, other):
    assert phone.same_account(one, other)
    assert phone.same_account(other, one)


@each(
    ("one", "other"),
    [
        ("+79001234567", "+79001234568"),
        ("+5511987654321", "+5511987654322"),
        ("+5511987654321", "+551287654321"),
        ("+5215512345678", "+525512345679"),
        ("+5491123456789", "+5491123456788"),
        ("+77001234567", "+79001234567"),
    ],
)
def test_two_phones_are_two_accounts(one, other):
    assert not phone.same_account(one, other)


@each("jid", ["79001234567@s.whatsapp.net", "79001234567:12@s.whatsapp.net", "79001234567.0:12@s.whatsapp.net"])
def test_a_devices_name_tells_the_phone(jid):
    assert phone.of_jid(jid) == "+79001234567"


@each(
    ("e164", "region"),
    [
        ("+79001234567", "RU"),
        ("+77001234567", "KZ"),
        ("+12015550123", "US"),
        ("+999123", "ZZ"),
        ("rubbish", "ZZ"),
        ("", "ZZ"),
    ],
)
def test_the_region_is_known_or_zz(e164, region):
    assert phone.region_of(e164) == region
