"""Phone numbers at the border: what people type becomes E.164 or a clear refusal; what is shown is masked."""

import re

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat, PhoneNumberType

from shared.failures import FailureCode, Refused

FIELD = "phoneNumber"

#: Most of the world dials abroad with 00, and people write it down; Russia's own prefix would be 810.
_DIALLED_ABROAD = re.compile(r"^[\s(]*00")

#: Lines that cannot carry WhatsApp. Unknown and mixed kinds pass: WhatsApp itself has the last word.
_NEVER = frozenset({PhoneNumberType.PREMIUM_RATE, PhoneNumberType.SHARED_COST, PhoneNumberType.PAGER})


def parse(text: str, region: str) -> str:
    """`text` as E.164, read the way people write numbers in `region` (ISO 3166, two letters).

    `89001234567`, `+7 900 123-45-67`, `9001234567` → `+79001234567` with RU. Raises `Refused(invalid-phone)`.
    """
    invalid = Refused(FailureCode.INVALID_PHONE, field=FIELD)
    # libphonenumber reads letters as keypad digits ("1-800-FLOWERS"), which here is a typing mistake.
    if any(char.isalpha() for char in text):
        raise invalid
    try:
        number = phonenumbers.parse(_DIALLED_ABROAD.sub("+", text), region)
    except NumberParseException:
        raise invalid from None
    if not phonenumbers.is_valid_number(number) or phonenumbers.number_type(number) in _NEVER:
        raise invalid
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


def masked(e164: str) -> str:
    """`+79001234567` → `+7 *** *** 45 67`-like: the country and the last four digits, the rest hidden."""
    try:
        number = phonenumbers.parse(e164, None)
    except NumberParseException:
        return "•" * 4 + e164[-2:]
    country = f"+{number.country_code}"
    national = e164.removeprefix(country)
    hidden = "•" * max(len(national) - 4, 0)
    return f"{country} {hidden} {national[-4:-2]} {national[-2:]}"


def region_of(e164: str) -> str:
    """The region a number belongs to (`RU`), or `ZZ` when nobody knows. For counting, never for deciding."""
    try:
        return phonenumbers.region_code_for_number(phonenumbers.parse(e164, None)) or "ZZ"
    except NumberParseException:
        return "ZZ"


def of_jid(jid: str) -> str:
    """The E.164 number inside a device's name: `79001234567:12@s.whatsapp.net` → `+79001234567`."""
    return "+" + jid.split("@", 1)[0].split(":", 1)[0].split(".", 1)[0]


def same_account(one: str, other: str) -> bool:
    """Whether two E.164 numbers are one WhatsApp account, through the variants that countries have.

    Brazil with and without the ninth digit, Mexico 52/521, Argentina 54/549.
    """
    return _canonical(one) == _canonical(other)


def _canonical(e164: str) -> str:
    digits = e164.removeprefix("+")
    if digits.startswith("55") and len(digits) == 13 and digits[4] == "9":
        return digits[:4] + digits[5:]
    if digits.startswith("521") and len(digits) == 13:
        return "52" + digits[3:]
    if digits.startswith("549") and len(digits) == 13:
        return "54" + digits[3:]
    return digits
