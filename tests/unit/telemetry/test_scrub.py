"""No secret survives, however it is written; what operators need does.

The ways of writing serve both sides, what goes and what stays: one file.
"""

import re
import secrets
from datetime import UTC, datetime, timedelta, timezone

import jwt
import phonenumbers
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as some
from phonenumbers import PhoneNumberFormat

from shared.telemetry import scrub
from tests.each import each
from tests.unit.core.test_phone import REGIONS

BEFORE = some.sampled_from(
    ["", " ", "'", '"', "(", "=", ": ", "<", ",", "tel:", "phone=", "to ", "\n", "[", "{'p': '", "→"]
)
AFTER = some.sampled_from(
    ["", " ", "'", '"', ")", ";", ", ", ">", ".", "!", "?", ". Then", "\n", "]", "'}", "…", "&a=b"]
)
#: The alphabet of WhatsApp's codes.
LETTERS = "123456789ABCDEFGHJKLMNPQRSTVWXYZ"


@some.composite
def phones(draw):
    number = phonenumbers.example_number_for_type(draw(some.sampled_from(REGIONS)), phonenumbers.PhoneNumberType.MOBILE)
    changed = str(number.national_number)[:-4] + f"{draw(some.integers(0, 9999)):04}"
    number.national_number = int(changed)
    return number


def digits(text):
    return re.sub(r"\D", "", text)


def dotted(text):
    return re.sub(r"[ ()-]+", ".", text)


STYLES = {
    "e164": lambda n: phonenumbers.format_number(n, PhoneNumberFormat.E164),
    "international": lambda n: phonenumbers.format_number(n, PhoneNumberFormat.INTERNATIONAL),
    "rfc3966": lambda n: phonenumbers.format_number(n, PhoneNumberFormat.RFC3966),
    "dotted": lambda n: dotted(phonenumbers.format_number(n, PhoneNumberFormat.INTERNATIONAL)),
    "hard blanks": lambda n: phonenumbers.format_number(n, PhoneNumberFormat.INTERNATIONAL).replace(" ", "\u00a0"),
    "thin blanks": lambda n: phonenumbers.format_number(n, PhoneNumberFormat.INTERNATIONAL).replace(" ", "\u202f"),
    "long dashes": lambda n: phonenumbers.format_number(n, PhoneNumberFormat.INTERNATIONAL).replace(" ", "–"),
    "in a query": lambda n: "%2B" + digits(phonenumbers.format_number(n, PhoneNumberFormat.E164)),
    "dialled with 00": lambda n: "00" + digits(phonenumbers.format_number(n, PhoneNumberFormat.E164)),
}


@pytest.mark.parametrize("style", STYLES)
@given(phones(), BEFORE, AFTER)
@settings(max_examples=60, deadline=None)
def test_a_phone_with_its_country_never_survives(style, number, before, after):
    written = STYLES[style](number)
    assert digits(written)[-6:] not in digits(scrub.text(f"{before}{written}{after}"))


@given(phones(), BEFORE, AFTER)
@settings(max_examples=100, deadline=None)
def test_a_phone_as_its_country_writes_it_never_survives(number, before, after):
    written = phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL)
    # Eight digits in one piece could be an attempt's number.
    assume(len(written) >= 10 and len(digits(written)) >= 8)
    assert digits(written)[-6:] not in digits(scrub.text(f"{before}{written}{after}"))


@each(
    "written",
    [
        "89001234567",
        "8 (900) 123-45-67",
        "9001234567",
        "8-900-123-45-67",
        "06.12.34.56.78",
        "900.123.4567",
        "030/1234567",
        "20 12 34 56",
        "+298 211234",
        "79001234567 and 79007654321",
        "٠٩٠٠١٢٣٤٥٦٧",
        "79001234567.0:12",
        "79001234567_1:12",
        "\\u002b79001234567",
        "%2B79001234567",
    ],
)
def test_other_ways_of_writing_a_phone_do_not_survive(written):
    assert not re.search(r"\d{3}", scrub.text(f"he wrote {written}."))


@given(some.text(LETTERS, min_size=8, max_size=8), BEFORE, AFTER)
def test_a_pairing_code_never_survives(letters, before, after):
    code = f"{letters[:4]}-{letters[4:]}"
    assert code not in scrub.text(f"{before}{code}{after}")


@given(some.text("ABCDEFGHabcdefgh0123456789+/=,", min_size=30, max_size=300), BEFORE, AFTER)
def test_a_qr_text_never_survives(inside, before, after):
    for qr in (f"https://wa.me/settings/linked_devices#2@{inside},1", f"2@{inside}"):
        assert inside not in scrub.text(f"{before} {qr}{after}")


@given(some.text(min_size=1, max_size=50), BEFORE, AFTER)
def test_a_signed_token_never_survives(name, before, after):
    token = jwt.encode({"sub": "1", "name": name}, "k" * 32, "HS256")
    said = scrub.text(f"{before} {token}{after}")
    assert not any(part in said for part in token.split("."))


@given(
    some.sampled_from(["redis", "rediss", "postgres", "postgresql", "postgresql+asyncpg", "http", "https", "socks5"]),
    some.from_regex(r"\A[A-Za-z0-9%!$&*+=/?_.~-]{1,30}\Z"),
    some.sampled_from(["", "user"]),
)
def test_a_password_inside_a_url_never_survives(scheme, password, user):
    said = scrub.text(f"cannot connect to {scheme}://{user}:hunter{password}@db.example:5432/0")
    assert "hunter" not in said
    assert "db.example" in said


@example(1_795_353_404_406, 0, "lid", "", "")  # as a moment in ms
@given(
    some.integers(10**5, 10**15),
    some.integers(0, 99),
    some.sampled_from(["s.whatsapp.net", "lid", "c.us", "g.us"]),
    BEFORE,
    AFTER,
)
def test_a_devices_name_never_survives(number, device, server, before, after):
    for jid in (f"{number}@{server}", f"{number}:{device}@{server}", f"{number}.0:{device}@{server}"):
        assert str(number) not in scrub.text(f"{before}{jid}{after}")


@each(
    "line",
    [
        "Authorization: Bearer an-api-key-of-ours",
        "{'authorization': 'bearer an-api-key-of-ours'}",
        "password=an-api-key-of-ours",
        "'api_key': 'an-api-key-of-ours'",
        "Authorization: Basic YW4tYXBpLWtleS1vZi1vdXJzours",
        "the key wak_an-api-key-of-ours_0123456789abcdef is wrong",
        "signed by whsec_YW4tYXBpLWtleS1vZi1vdXJz0ours==",
        "AGE-SECRET-KEY-1QQPQYRSOURS0123456789ours",
        "PGPASSWORD=an-api-key-of-ours host=h",
        "user=u password='an api key of ours' host=h",
        'password="of ours" host=h',
        "secret_key='an-api-key-of-ours'",
        "SECRET_KEY=an-api-key-of-ours",
        "?token=an-api-key-of-ours&x=1",
        "X-Auth-Token: an-api-key-of-ours",
    ],
)
def test_a_key_never_survives(line):
    assert "ours" not in scrub.text(line)


@each(
    "line",
    [
        "attempt.linked attempt=28343214 seq=17 ms=1234",
        "attempts 28343214, 28343215 and 283432156",
        "session company_salon-1 on worker web-1",
        "HTTP/1.1 200 OK in 12.345678901234 ms",
        "Python 3.11.7, Chrome 141.0.7390.37, Redis 7.0.15",
        "10.0.12.123:6379 refused; 192.168.100.100 as well; [::1]:8000",
        "deadline 1795353404406 was 1795353400000",
        "it took 1795353404.406 seconds",
        "job link:company_a:28343214 try 2 of 2",
        "5000 sockets, 120 ms, 98.7 %, 3/10, 2026",
        "token=28343214, token: 17, its fencing token is new",
        "WEBHOOK_URL needs WEBHOOK_SECRET, by which your platform knows that we sent it",
        "a basic question, basic understanding, the bearer came",
        "TEST-0001 FAILED-BADLY error-code x-request-id",
        "0x7f3a12345678 at 0x00007f3a12345678",
        "https://wa.example:8000/link and redis://127.0.0.1:6379/0",
    ],
)
def test_ordinary_lines_survive(line):
    assert scrub.text(line) == line


@given(some.uuids(), BEFORE, AFTER)
def test_a_uuid_survives(one, before, after):
    assert str(one) in scrub.text(f"{before}{one}{after}")
    assert str(one).upper() in scrub.text(f"{before}{str(one).upper()}{after}")


@given(some.binary(min_size=3, max_size=32), BEFORE, AFTER)
def test_a_hex_id_survives(raw, before, after):
    assume(re.search("[a-f]", raw.hex()))
    assert raw.hex() in scrub.text(f"{before}{raw.hex()}{after}")


@given(
    some.datetimes(datetime(2024, 1, 1), datetime(2029, 12, 31)),  # noqa: DTZ001 - the zone comes beside it
    some.sampled_from([UTC, timezone(timedelta(hours=3)), timezone(timedelta(hours=-9, minutes=-30))]),
    BEFORE,
)
def test_a_moment_survives(naive, zone, before):
    moment = naive.replace(tzinfo=zone)
    for written in (
        moment.isoformat(),
        moment.isoformat(" "),
        moment.isoformat(timespec="seconds").replace("+00:00", "Z"),
        f"{moment:%Y-%m-%d %H:%M:%S,%f}",
        f"{moment:%Y-%m-%d}",
        str(int(moment.timestamp() * 1000)),
    ):
        assert written in scrub.text(f"{before}{written} later")


@given(some.integers(0, 10**9 - 1), BEFORE, AFTER)
def test_an_attempts_number_survives(number, before, after):
    assert str(number) in scrub.text(f"{before}{number}{after}")


def test_secrets_in_nested_values_are_found_and_other_values_stay():
    class Thing:
        def __repr__(self):
            return "Thing(phone='+79001234567')"

    now = datetime.now(UTC)
    given = {
        "a": ["+79001234567", ("ABCD-EFGH", 1)],
        "n": 1795353404406,
        "f": 1.5,
        "t": now,
        "x": None,
        "b": True,
        "raw": b"+79001234567",
        "o": Thing(),
    }
    assert scrub.deep(given) == {
        "a": ["[hidden]", ("[hidden]", 1)],
        "n": 1795353404406,
        "f": 1.5,
        "t": now,
        "x": None,
        "b": True,
        "raw": "[hidden]",
        "o": "Thing(phone='[hidden]')",
    }


@given(some.text(max_size=500))
def test_scrubbing_twice_is_scrubbing_once_and_never_fails(text):
    assert scrub.text(scrub.text(text)) == scrub.text(text)


def test_a_long_hostile_text_takes_no_time():
    for hostile in (
        "1 " * 20000,
        "+" * 40000,
        "1-" * 20000,
        "2@" + "a" * 40000,
        "a:" * 20000,
        "https://" * 5000,
        "1." * 20000,
        "79001234567." * 20000,
        "1795353404406:" * 20000,
        "secret='" * 20000,
        "a://b:" * 20000,
        secrets.token_hex(20000),
    ):
        scrub.text(hostile)
