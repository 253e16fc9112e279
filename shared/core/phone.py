"""Phone numbers at the border: what people type becomes E.164 or a clear refusal; what is shown is masked.

The number doctor: a number is read as its country's people write it, old ways included, and two numbers that are one
WhatsApp account are known to be one (Brazil's ninth digit, Mexico's 1, Argentina's 9).
"""

import re
import unicodedata
from collections.abc import Iterator

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumber, PhoneNumberFormat, PhoneNumberType

from shared.core.failures import FailureCode, Refused

FIELD = "phoneNumber"

#: Most of the world dials abroad with 00, and people write it down; Russia's own prefix would be 810.
_DIALLED_ABROAD = re.compile(r"^[\s(]*00")

#: Lines that cannot carry WhatsApp. Unknown and mixed kinds pass: WhatsApp itself has the last word.
_NEVER = frozenset({PhoneNumberType.PREMIUM_RATE, PhoneNumberType.SHARED_COST, PhoneNumberType.PAGER})
_MOBILE = frozenset({PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE})

#: Where a number is dialled with 8 at home. Some write it behind a plus, where +7 belongs.
_DIAL_EIGHT = frozenset({"RU", "KZ"})
_EIGHT = re.compile(r"8\d{10}")
_ABROAD_WITHOUT_PLUS = re.compile(r"[1-9]\d{10,14}")

#: Old ways of writing a mobile, by country code: a pattern of the national number, and what it is today.
#: Brazil put a 9 before mobiles (2012-2016), which began with 6-9; Mexico gave up 1, 044 and 045 (2019).
_TODAY: dict[int, tuple[re.Pattern[str], str]] = {
    55: (re.compile(r"([1-9]{2})([6-9]\d{7})"), r"\g<1>9\g<2>"),
    52: (re.compile(r"(?:1|0?4[45])(\d{10})"), r"\1"),
}

#: The two ways in which WhatsApp may know one account, as patterns of E.164 digits: the longer, and how to make it the
#: shorter; the shorter, and how to make it the longer (issues of several peers; nobody can tell which one it is).
_TWICE: tuple[tuple[re.Pattern[str], str, re.Pattern[str], str], ...] = (
    (re.compile(r"(55[1-9]{2})9([6-9]\d{7})"), r"\1\2", re.compile(r"(55[1-9]{2})([6-9]\d{7})"), r"\g<1>9\2"),
    (re.compile(r"521(\d{10})"), r"52\1", re.compile(r"52(\d{10})"), r"521\1"),
    (re.compile(r"549(\d{10})"), r"54\1", re.compile(r"54(\d{10})"), r"549\1"),
)


def parse(text: str, region: str) -> str:
    """`text` as E.164, read the way people write numbers in `region` (ISO 3166, two letters).

    `89001234567`, `+7 900 123-45-67`, `9001234567` → `+79001234567` with RU. Raises `Refused(invalid-phone)`.
    """
    text = unicodedata.normalize("NFKC", text)
    # libphonenumber reads letters as keypad digits ("1-800-FLOWERS"), which here is a typing mistake.
    if not any(char.isalpha() for char in text):
        for reading, kinds in _readings(text, region):
            number = _number(reading, region)
            if number is not None and (kinds is None or phonenumbers.number_type(number) in kinds):
                return phonenumbers.format_number(number, PhoneNumberFormat.E164)
    raise Refused(FailureCode.INVALID_PHONE, field=FIELD)


def _readings(text: str, region: str) -> Iterator[tuple[str, frozenset[int] | None]]:
    """What may be meant, the likeliest first, and the kinds of line to which a bold guess is kept."""
    plain = _DIALLED_ABROAD.sub("+", text)
    yield plain, None
    digits = re.sub(r"\D", "", plain)
    if "+" in plain:
        if region in _DIAL_EIGHT and _EIGHT.fullmatch(digits):
            yield digits, None
        return
    if re.fullmatch(r"[\d\s()./-]+", plain):
        if digits.startswith("0"):
            yield digits.lstrip("0"), None
        elif _ABROAD_WITHOUT_PLUS.fullmatch(digits):
            yield f"+{digits}", _MOBILE


def _number(text: str, region: str) -> PhoneNumber | None:
    try:
        number = phonenumbers.parse(text, region)
    except NumberParseException:
        return None
    if number.extension:
        return None
    if not phonenumbers.is_valid_number(number):
        pattern, today = _TODAY.get(number.country_code or 0, (None, ""))
        old = pattern.fullmatch(phonenumbers.national_significant_number(number)) if pattern else None
        if old is None:
            return None
        number = PhoneNumber(country_code=number.country_code, national_number=int(old.expand(today)))
    if not phonenumbers.is_valid_number(number) or phonenumbers.number_type(number) in _NEVER:
        return None
    return number


def masked(e164: str) -> str:
    """`+79001234567` → `+7 •••••• 45 67`: the country and the last four digits, the rest hidden."""
    try:
        number = phonenumbers.parse(e164, None)
    except NumberParseException:
        return "•" * 4 + e164[-2:]
    country = f"+{number.country_code}"
    national = e164.removeprefix(country)
    hidden = "•" * max(len(national) - 4, 0)
    return f"{country} {hidden} {national[-4:-2]} {national[-2:]}"


def region_of(e164: str) -> str:
    """The region a number belongs to (`RU`), or `ZZ` when nobody knows. For counting, never for deciding.

    An account's number need not be one that can be dialled today (Brazil, Mexico): then its country code tells.
    """
    try:
        number = phonenumbers.parse(e164, None)
    except NumberParseException:
        return "ZZ"
    found: str | None = phonenumbers.region_code_for_number(number)
    return found or phonenumbers.region_code_for_country_code(number.country_code or 0)


def of_jid(jid: str) -> str:
    """The E.164 number inside a device's name: `79001234567:12@s.whatsapp.net` → `+79001234567`."""
    return "+" + jid.split("@", 1)[0].split(":", 1)[0].split(".", 1)[0]


def canonical(e164: str) -> str:
    """One name for all E.164 numbers that are one account: the shortest of its variants. `+5215512345678` →
    `+525512345678`."""
    digits = e164.removeprefix("+")
    for longer, short, _, _ in _TWICE:
        if found := longer.fullmatch(digits):
            return "+" + found.expand(short)
    return "+" + digits


def variants(e164: str) -> tuple[str, ...]:
    """Every E.164 number that is the same WhatsApp account, the canonical one first."""
    first = canonical(e164)
    for _, _, shorter, long in _TWICE:
        if found := shorter.fullmatch(first.removeprefix("+")):
            return (first, "+" + found.expand(long))
    return (first,)


def same_account(one: str, other: str) -> bool:
    """Whether two E.164 numbers are one WhatsApp account, through the variants that countries have."""
    return canonical(one) == canonical(other)
