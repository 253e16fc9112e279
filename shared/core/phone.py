"""Phone numbers at the border: a typed text becomes E.164 or a clear refusal; a shown number is masked.

A number is read as people of its country write it, old ways included. Two numbers of one WhatsApp account count as one
(shared/core/renumbered.py).
"""

import re
import unicodedata
from collections.abc import Iterator

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumber, PhoneNumberFormat, PhoneNumberType

from shared.core import renumbered
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

#: Mexico dialled mobiles behind 044 and 045 until 2019.
_DIALLED_AT_HOME: dict[int, re.Pattern[str]] = {52: re.compile(r"0?4[45](\d{10})")}


def parse(text: str, region: str) -> str:
    """`text` as E.164, read the way people write numbers in `region` (ISO 3166, two letters).

    `89001234567`, `+7 900 123-45-67`, `9001234567` → `+79001234567` with RU. Raises `Refused(invalid-phone)`.
    """
    text = _typed(text)
    # libphonenumber reads letters as keypad digits ("1-800-FLOWERS"), which here is a typing mistake.
    if not any(char.isalpha() for char in text):
        for reading, kinds in _readings(text, region):
            number = _number(reading, region)
            if number is not None and (kinds is None or phonenumbers.number_type(number) in kinds):
                return phonenumbers.format_number(number, PhoneNumberFormat.E164)
    raise Refused(FailureCode.INVALID_PHONE, field=FIELD)


def recipient(text: str, region: str) -> str:
    """As `parse`, but an old number in full (`+52 1 55 …`) stays as written: it may be the account's name at WhatsApp."""
    today = parse(text, region)
    digits = re.sub(r"\D", "", _DIALLED_ABROAD.sub("+", _typed(text)))
    return f"+{digits}" if digits and renumbered.today(digits) == today.removeprefix("+") else today


def _typed(text: str) -> str:
    """A text with one kind of digits and of dashes, as keyboards have many, and without the marks that nobody sees."""
    kinds = ((char, unicodedata.category(char)) for char in unicodedata.normalize("NFKC", text))
    return "".join(
        str(int(char)) if kind == "Nd" else "-" if kind == "Pd" or char == "\u2212" else char
        for char, kind in kinds
        if kind != "Cf"
    )


def _readings(text: str, region: str) -> Iterator[tuple[str, frozenset[int] | None]]:
    """Readings of a number, the likeliest first. The set has the kinds of line to which a bold guess is kept."""
    plain = _DIALLED_ABROAD.sub("+", text)
    digits = re.sub(r"\D", "", plain)
    code = str(phonenumbers.country_code_for_region(region))
    if "+" not in plain and digits.startswith(code):
        # Both readings may be numbers. A writer of so many digits means the country, and nearly always a mobile.
        yield f"+{digits}", _MOBILE
        yield plain, _MOBILE
        yield f"+{digits}", None
    yield plain, None
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
        if number.extension:
            return None
        if not phonenumbers.is_valid_number(number):
            number = _renewed(number)
    except NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number) or phonenumbers.number_type(number) in _NEVER:
        return None
    return number


def _renewed(number: PhoneNumber) -> PhoneNumber:
    """A number as it is written today, if nobody can dial it any more as it stands. Any other stays as it is."""
    code, national = number.country_code or 0, phonenumbers.national_significant_number(number)
    if (dialled := _DIALLED_AT_HOME.get(code)) is not None and (found := dialled.fullmatch(national)):
        national = found[1]
    digits = renumbered.today(f"{code}{national}") or f"{code}{national}"
    return phonenumbers.parse(f"+{digits}", None)  # not made by hand: some begin with a 0 that counts


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
    """The shortest of an account's E.164 numbers, as its one name: `+5215512345678` → `+525512345678`."""
    return variants(e164)[0]


def variants(e164: str) -> tuple[str, ...]:
    """Every E.164 number that is the same WhatsApp account, the canonical one first."""
    digits = e164.removeprefix("+")
    ways = {f"+{way}" for way in (digits, renumbered.today(digits), renumbered.formerly(digits)) if way}
    return tuple(sorted(ways, key=lambda way: (len(way), way)))


def same_account(one: str, other: str) -> bool:
    """True if two E.164 numbers are one WhatsApp account, through the variants that countries have."""
    return canonical(one) == canonical(other)
