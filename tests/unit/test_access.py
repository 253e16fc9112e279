"""Who may do what: only our own, living, unrevoked tokens; only whole API keys."""

import base64
import json

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as some
from pydantic import SecretStr

from app.access import Access, BadToken
from app.http.border import WRONG_KEYS, Callers
from app.onboarding import Endings
from shared.core import keys
from shared.core.apikeys import Scope, digest_of, make_api_key, read_api_keys
from shared.core.clock import now_ms
from shared.core.ids import CompanyId
from shared.settings import Settings
from shared.state.claims import Claims, Subject

SECRET = "a secret that is long enough to sign " * 2
KEYS = ("first-api-key-0001", "second-api-key-002")
CONFIG = Settings(secret_key=SecretStr(SECRET), api_keys=tuple(map(SecretStr, KEYS)))


@pytest.fixture
def access(redis):
    return Access(CONFIG)


def a_link(access, **about):
    return access.new_link(CompanyId("salon"), **{"ttl_seconds": 600, "company_name": "Salon"} | about)


def signed(secret=SECRET, algorithm="HS256", without=(), **changed):
    claims = {
        "aud": "whatsapp-link",
        "jti": "L",
        "sub": "salon",
        "exp": now_ms() // 1000 + 60,
        "name": "Salon",
    } | changed
    return jwt.encode({key: value for key, value in claims.items() if key not in without}, secret, algorithm)


def part(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def test_a_link_comes_back_from_its_token_whole(access):
    link = a_link(access, phone="+79001234567", locale="ru", return_url="https://x.example/")
    assert access.verify(access.sign(link)) == link
    assert link.session == "company_salon"
    assert abs(link.expires_at - now_ms() - 600_000) < 2000


def test_absent_contents_of_a_link_stay_absent(access):
    link = access.verify(access.sign(a_link(access)))
    assert (link.phone, link.locale, link.return_url) == (None, None, None)


def test_no_two_links_are_the_same(access):
    assert len({a_link(access).id for _ in range(100)}) == 100


@pytest.mark.parametrize(
    "token",
    [
        "",
        "rubbish",
        "a.b.c",
        "....",
        "eyJ.eyJ.eyJ",
        "ünïcödé",
        "\x00",
        lambda: signed(secret="another secret that is long enough!! " * 2),
        lambda: signed(exp=now_ms() // 1000 - 1),
        lambda: signed(aud="something-else"),
        lambda: signed(algorithm="HS512"),
        lambda: signed(without=("exp",)),
        lambda: signed(without=("jti",)),
        lambda: signed(without=("sub",)),
        lambda: signed(without=("aud",)),
        lambda: signed(without=("name",)),
        lambda: signed(sub="../../etc"),
        lambda: signed(sub=""),
        lambda: signed(nbf=now_ms() // 1000 + 600),
        f"{part({'alg': 'none', 'typ': 'JWT'})}.{part({'aud': 'whatsapp-link', 'sub': 'salon', 'jti': 'L', 'exp': 2**33})}.",
        f"{part({'alg': 'None'})}.{part({'aud': 'whatsapp-link', 'sub': 'salon', 'jti': 'L', 'exp': 2**33})}.AAAA",
        f"{part({'alg': ['HS256']})}.{part({})}.AAAA",
        base64.urlsafe_b64encode(b"[" * 1500).decode() + ".e30.AAAA",
        base64.urlsafe_b64encode(b'{"a":' * 300).decode() + ".e30.AAAA",
    ],
    ids=lambda token: token[:30] if isinstance(token, str) else None,
)
def test_any_other_text_than_our_living_token_is_a_bad_token(access, token):
    with pytest.raises(BadToken):
        access.verify(token if isinstance(token, str) else token())  # signed now: tests are collected long before


@given(some.text(max_size=300))
def test_any_text_is_a_token_or_a_bad_token(text):
    with pytest.raises(BadToken):
        Access(CONFIG).verify(text)


@given(some.integers(0, 400), some.sampled_from("Aa0_-.~"))
def test_a_token_that_was_tampered_with_is_bad(place, char):
    token = signed(exp=2**33)
    tampered = token[: place % len(token)] + char + token[place % len(token) + 1 :]
    access = Access(CONFIG)
    try:
        link = access.verify(tampered)
    except BadToken:
        return
    # The last character of base64 carries bits that say nothing.
    assert (link.company, link.id) == ("salon", "L")
    assert place % len(token) == len(token) - 1 or tampered == token


async def test_a_link_is_usable_until_it_is_revoked_and_then_for_good(access, redis):
    link = a_link(access)
    assert await Claims(redis).standings(link.id) == [""]
    await Endings(redis, Claims(redis)).revoke_link(link.id)
    await Endings(redis, Claims(redis)).revoke_link(link.id)
    assert await Claims(redis).standings(link.id) == ["revoked"]
    assert not await Claims(redis).spend(Subject(link.id, link.expires_at))
    assert not await Claims(redis).spend(Subject(link.id, now_ms() - 1)), "nor after its time"
    assert await Claims(redis).standings(link.id) == ["revoked"]
    assert await redis.pttl(keys.link(link.id)) > 7 * keys.DAY, "longer than any link lives"


async def test_a_link_that_did_its_work_is_spent_and_can_still_be_revoked(access, redis):
    link = a_link(access)
    assert await Claims(redis).spend(Subject(link.id, link.expires_at))
    assert await Claims(redis).spend(Subject(link.id, link.expires_at)), "the same once more"
    assert await Claims(redis).standings(link.id) == ["spent"]
    await Endings(redis, Claims(redis)).revoke_link(link.id)
    assert await Claims(redis).standings(link.id) == ["revoked"]


CALLERS = Callers(CONFIG.known_keys)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER  "])
def test_each_api_key_lets_the_integrator_in(key, scheme):
    assert CALLERS.identify(f"{scheme}{key}").scopes == frozenset(Scope)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        KEYS[0],
        f"Basic {KEYS[0]}",
        f"Bearer {KEYS[0][:-1]}",
        f"Bearer x{KEYS[0]}",
        "Bearer \xff\xfe",
        f"Bearer {KEYS[0]} {KEYS[1]}",
        f"Bearer {digest_of(KEYS[0]).hex()}",
    ],
)
def test_nothing_else_does(header):
    assert CALLERS.identify(header) is None


def test_a_hashed_key_is_known_by_its_name_and_opens_its_scopes_alone():
    key, entry = make_api_key("billing", frozenset({Scope.LINKS, Scope.OPS}))
    assert key not in entry
    (known,) = read_api_keys([entry])
    assert known.name == "billing"
    assert known.scopes == {Scope.LINKS, Scope.OPS}
    assert Callers((known,)).identify(f"Bearer {key}") is known
    assert Callers((known,)).identify(f"Bearer {entry}") is None, "the entry is no key"


def test_wrong_keys_are_counted_by_address_and_slowed_down():
    callers = Callers(CONFIG.known_keys)
    assert [callers.count_wrong("192.0.2.1") for _ in range(WRONG_KEYS)] == [0] * WRONG_KEYS
    assert 0 < callers.count_wrong("192.0.2.1") <= 61
    assert callers.count_wrong("192.0.2.2") == 0


def test_the_count_of_wrong_keys_starts_anew_after_its_window(monkeypatch):
    callers, now = Callers(CONFIG.known_keys), 1000.0
    monkeypatch.setattr("app.http.border.time.monotonic", lambda: now)
    for _ in range(WRONG_KEYS + 1):
        callers.count_wrong("192.0.2.1")
    assert callers.count_wrong("192.0.2.1")
    now += 61
    assert callers.count_wrong("192.0.2.1") == 0


def test_addresses_without_end_take_no_memory_without_end(monkeypatch):
    monkeypatch.setattr("app.http.border._ADDRESSES", 100)
    callers = Callers(CONFIG.known_keys)
    for number in range(1000):
        callers.count_wrong(f"192.0.2.{number}")
    assert len(callers._wrong) == 100
