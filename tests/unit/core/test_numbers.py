"""The number doctor: a number is understood as people write it anywhere, and an account is known by all its numbers.

Most of it are tables of numbers, hence one file.
"""

import random

import phonenumbers
import pytest
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from shared.core import phone
from shared.core.failures import FailureCode, Refused
from tests.each import each

SEED = 20261123


def _generated() -> list[tuple[str, str]]:
    """200 (region, E.164) mobiles: an example of every region that has one, and more made from them by other digits."""
    chance = random.Random(SEED)
    examples = []
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        number = phonenumbers.example_number_for_type(region, PhoneNumberType.MOBILE)
        if number is not None:
            examples.append((region, phonenumbers.format_number(number, PhoneNumberFormat.E164)))
    chance.shuffle(examples)
    found = set(examples[:120])
    while len(found) < 200:
        region, e164 = chance.choice(examples)
        other = e164[:-3] + f"{chance.randrange(1000):03}"
        if phonenumbers.is_valid_number_for_region(phonenumbers.parse(other, None), region):
            found.add((region, other))
    return sorted(found)


NUMBERS = _generated()


def test_there_are_two_hundred_from_all_over_the_world():
    assert len(NUMBERS) == 200
    assert len({region for region, _ in NUMBERS}) > 120


@each(("region", "e164"), NUMBERS, ids=lambda value: value)
def test_it_is_understood_however_it_is_written(region, e164):
    number = phonenumbers.parse(e164, None)
    nationally = phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL)
    internationally = phonenumbers.format_number(number, PhoneNumberFormat.INTERNATIONAL)
    assert phone.parse(nationally, region) == e164
    for typed in (internationally, e164, internationally.replace(" ", "-"), f"  {internationally} ", "00" + e164[1:]):
        assert phone.parse(typed, "DE") == e164
        assert phone.parse(typed, "RU") == e164


@each(("region", "e164"), NUMBERS, ids=lambda value: value)
def test_it_is_one_account_with_its_variants_and_with_nothing_else(region, e164):
    own = phone.variants(e164)
    assert e164 in own
    assert own[0] == phone.canonical(e164)
    assert len(own) == len(set(own)) <= 2
    for one in own:
        assert phone.same_account(one, e164)
        assert phone.variants(one) == own
    strangers = [other for _, other in NUMBERS if other not in own]
    assert not [other for other in strangers if phone.same_account(other, e164)]


@each(("region", "e164"), NUMBERS, ids=lambda value: value)
def test_it_is_shown_with_its_country_and_four_digits(region, e164):
    country, hidden, *last = phone.masked(e164).split(" ")
    assert e164.startswith(country)
    assert "".join(last) == e164[-4:]
    assert set(hidden) <= {"•"}
    assert len(country) + len(hidden) + 4 == len(e164)


@each(
    ("typed", "region", "wanted"),
    [
        # Russia: 8 for +7, also behind a plus, and from those who are used to a 0.
        ("8 900 123-45-67", "RU", "+79001234567"),
        ("+8 900 123-45-67", "RU", "+79001234567"),
        ("+8 701 234 56 78", "KZ", "+77012345678"),
        ("0 900 123 45 67", "RU", "+79001234567"),
        ("8 10 49 157 12345678", "RU", "+4915712345678"),
        # Abroad: 00, a plus left out, a 0 in brackets, digits of another script's width.
        ("0049 157 12345678", "RU", "+4915712345678"),
        ("380 50 123 45 67", "RU", "+380501234567"),
        ("+49 (0) 157 12345678", "RU", "+4915712345678"),
        ("＋７ ９００ １２３ ４５ ６７", "RU", "+79001234567"),
        # Italy keeps its 0.
        ("+39 06 6982 1234", "RU", "+390669821234"),
        # Brazil before the ninth digit.
        ("+55 11 8765-4321", "RU", "+5511987654321"),
        ("(11) 8765-4321", "BR", "+5511987654321"),
        ("0 11 98765-4321", "BR", "+5511987654321"),
        # Mexico before 2019.
        ("+52 1 55 1234 5678", "RU", "+525512345678"),
        ("044 55 1234 5678", "MX", "+525512345678"),
        ("045 55 1234 5678", "MX", "+525512345678"),
        # Argentina: 15 at home, 9 from abroad.
        ("011 15-2345-6789", "AR", "+5491123456789"),
        ("+54 11 15 2345-6789", "RU", "+5491123456789"),
    ],
)
def test_old_and_local_ways_of_writing(typed, region, wanted):
    assert phone.parse(typed, region) == wanted


@each(
    ("typed", "region"),
    [
        ("+8 900 123-45-67", "DE"),  # 8 is Russia's habit, and nobody else's
        ("+55 11 3765-43210", "BR"),
        ("+52 1 55 1234 567", "MX"),
        ("19001234567", "RU"),  # a premium line in America, an 8 mistyped in Russia
        ("0 0 0", "RU"),
    ],
)
def test_a_guess_is_not_bolder_than_that(typed, region):
    with pytest.raises(Refused) as refused:
        phone.parse(typed, region)
    assert refused.value.code is FailureCode.INVALID_PHONE


@each(
    ("expected", "linked"),
    [
        ("+5511987654321", "551187654321"),
        ("+5531987654321", "553187654321"),
        ("+525512345678", "5215512345678"),
        ("+5491123456789", "541123456789"),
        ("+541123456789", "5491123456789"),
        ("+79001234567", "79001234567"),
    ],
)
def test_the_linked_device_is_the_expected_one_by_any_of_its_numbers(expected, linked):
    assert phone.same_account(expected, phone.of_jid(f"{linked}:12@s.whatsapp.net"))


@each(
    ("expected", "linked"),
    [
        ("+551137654321", "5511937654321"),  # a landline, and somebody's mobile
        ("+5511987654321", "551187654322"),
        ("+525512345678", "5215512345679"),
        ("+12015550123", "120155501231"),
        ("+79001234567", "77001234567"),
    ],
)
def test_another_phone_is_another_account(expected, linked):
    assert not phone.same_account(expected, phone.of_jid(f"{linked}:12@s.whatsapp.net"))


def _mobiles(region: str) -> list[str]:
    """Mobiles of a region in E.164: its example, and others made from that by other digits."""
    chance = random.Random(SEED)
    example = phonenumbers.example_number_for_type(region, PhoneNumberType.MOBILE)
    if example is None:
        return []
    e164 = phonenumbers.format_number(example, PhoneNumberFormat.E164)
    most = len(str(example.national_number)) - 1
    lengths = [min(digits, most) for digits in (4, 5, 6) * 8]
    made = {e164[:-digits] + str(chance.randrange(10**digits)).zfill(digits) for digits in lengths}
    return sorted(one for one in made if phonenumbers.is_valid_number_for_region(phonenumbers.parse(one, None), region))


def test_a_mobile_with_its_own_country_code_and_without_a_plus_is_itself_or_refused_and_so_is_one_without_the_code():
    """Where both readings are numbers (Germany, Indonesia, Kosovo), the one with the code is meant."""
    wrong, tried = [], 0
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        code = str(phonenumbers.country_code_for_region(region))
        for e164 in _mobiles(region):
            for typed in (e164[1:], e164[1:].removeprefix(code)):
                tried += 1
                try:
                    got = phone.parse(typed, region)
                except Refused:
                    continue
                if not phone.same_account(got, e164) and phonenumbers.parse(e164, None) != phonenumbers.parse(
                    got, None
                ):
                    wrong.append((region, typed, got))
    assert tried > 5000
    assert not wrong


@each(
    ("region", "typed", "wanted"),
    [
        ("DE", "4915123456088", "+4915123456088"),
        ("DE", "49 151 23456088", "+4915123456088"),
        ("ID", "62812324318", "+62812324318"),
        ("ID", "62 218 341 250", "+62218341250"),
        ("XK", "38343614936", "+38343614936"),
        ("SE", "468123799", "+468123799"),
        ("CU", "53332577", "+5353332577"),  # a mobile at home, not a short line with the code
        ("BR", "55 99876-5432", "+5555998765432"),  # the area code 55, and the ninth digit
    ],
)
def test_both_readings_are_numbers_and_the_likelier_is_taken(region, typed, wanted):
    try:
        got = phone.parse(typed, region)
    except Refused:
        got = None
    assert got in {wanted, None}
    if region != "BR":
        assert got == wanted


@each(
    ("old", "new"),
    [
        ("5215512345678", "525512345678"),
        ("541123456789", "5491123456789"),
        ("553187654321", "5531987654321"),
        ("22549000001", "2250749000001"),
        ("22505000001", "2250505000001"),
        ("22501000001", "2250101000001"),
        ("22544000001", "2250544000001"),
        ("22520800001", "2252120800001"),
        ("22521000001", "2252521000001"),
        ("22520200001", "2252720200001"),
        ("22997000001", "2290197000001"),
        ("2307123456", "23057123456"),
        ("23777123456", "237677123456"),
        ("59399123456", "593999123456"),
        ("24107123456", "24177123456"),
        ("841201234567", "84701234567"),
        ("841991234567", "84591234567"),
    ],
)
def test_a_renumbered_account_is_one_by_both_its_numbers(old, new):
    assert phone.same_account(f"+{old}", f"+{new}")
    assert set(phone.variants(f"+{new}")) == {f"+{old}", f"+{new}"}
    assert phone.variants(f"+{old}") == phone.variants(f"+{new}")
    assert phone.canonical(f"+{old}") == phone.canonical(f"+{new}")


@each(
    ("typed", "region", "linked", "written"),
    [
        ("+225 49 00 00 01", "RU", "+2250749000001", "+22549000001"),
        ("49 00 00 01", "CI", "+2250749000001", "+2250749000001"),
        ("+229 97 00 00 01", "RU", "+2290197000001", "+22997000001"),
        ("+84 120 123 4567", "VN", "+84701234567", "+841201234567"),
        ("0120 123 4567", "VN", "+84701234567", "+84701234567"),
        ("+52 1 55 1234 5678", "MX", "+525512345678", "+5215512345678"),
        ("0052 1 55 1234 5678", "RU", "+525512345678", "+5215512345678"),
        ("+55 31 8765-4321", "BR", "+5531987654321", "+553187654321"),
        ("+7 900 123-45-67", "RU", "+79001234567", "+79001234567"),
        ("8 900 123-45-67", "RU", "+79001234567", "+79001234567"),
    ],
)
def test_an_old_number_is_renewed_for_its_owner_and_left_alone_for_who_writes_to_it(typed, region, linked, written):
    assert phone.parse(typed, region) == linked
    assert phone.recipient(typed, region) == written
