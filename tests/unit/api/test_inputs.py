"""Whatever callers put into the fields of the API: addresses in all their spellings, types, names that stand twice."""

import json
from urllib.parse import quote

import pytest
from pydantic import ValidationError

from app.access import Access
from app.api.models import NewReceiver
from shared.state.receivers import check_target
from tests.each import each
from tests.unit.api.config import CONFIG
from tests.unit.api.test_links import LINKS, made

#: Ways to write an address that begins, ends or looks like https://salon.example, and is none of `RETURN_ORIGINS`.
DISGUISES = [
    "https://salon.example@evil.example/",
    "https://salon.example:443@evil.example/",
    "https://salon.example%40evil.example/",
    "https://user@salon.example/",
    "https://user:word@salon.example/",
    "https://:word@salon.example/",
    "https://evil.example\\@salon.example/",
    "https://evil.example\\.salon.example/",
    "https:\\\\evil.example\\salon.example",
    "https:\\\\salon.example\\x",
    "https://salon.example/\\evil.example",
    "https:/evil.example/salon.example",
    "https:evil.example",
    "https:///evil.example/@salon.example",
    "https://salon.example.evil.example/",
    "https://evil.example/https://salon.example/",
    "https://evil.example#salon.example",
    "https://evil.example?salon.example",
    "https://evilsalon.example/",
    "https://salon.example./",
    "https://salon.example:8443/",
    "https://salon.example:0/",
    "http://salon.example/",
    "http://salon.example:443/",
    "//salon.example/",
    "/back",
    "salon.example",
    "https://",
    "https://ѕalon.example/",  # Cyrillic
    "https://sаlon.example/",  # Cyrillic
    "https://salon。example.evil.example/",
    "https://salon.exam\u00adple.evil.example/",
    "https://xn--alon-5ve.example/",
    "https://salon%00.example/",
    "https://salon.example%2eevil.example/",
    "https://sal%6fn.example.evil.example/",
    "https://[::1]/",
    "https://0x7f000001/",
    "https://2130706433/",
    "javascript:alert(1)//https://salon.example/",
    "JaVaScRiPt:alert(1)",
    " javascript:alert(1)",
    "java\nscript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "vbscript:x",
    "file:///etc/passwd",
    "blob:https://salon.example/1",
    "filesystem:https://salon.example/x",
    "intent://salon.example#Intent;scheme=https;end",
    "whatsapp://send",
    "ftp://salon.example/",
    "ws://salon.example/",
    "https\x00://salon.example/",
    "view-source:https://salon.example/",
    "",
]
#: The same address, spelled oddly; it is kept as browsers would write it.
SPELLINGS = {
    "https://salon.example": "https://salon.example/",
    "HTTPS://SALON.EXAMPLE/A": "https://salon.example/A",
    "https://salon.example:443/x": "https://salon.example/x",
    "https://sal%6Fn.example/": "https://salon.example/",
    "https://ｓａｌｏｎ.example/": "https://salon.example/",
    "https://salon.example/a?to=//evil.example#x": "https://salon.example/a?to=//evil.example#x",
}


@pytest.mark.parametrize("field", ["returnUrl", "refreshUrl"])
async def test_an_owner_is_led_to_known_origins_alone(web, field):
    wrong = {}
    for url in DISGUISES:
        answer = await made(web, **{field: url})
        if (answer.status_code, answer.json().get("field")) != (422, field):
            wrong[url] = answer.text
    assert wrong == {}


@pytest.mark.parametrize("field", ["returnUrl", "refreshUrl"])
async def test_odd_spellings_of_a_known_origin_are_kept_as_browsers_write_them(web, field):
    for url, kept in SPELLINGS.items():
        answer = await made(web, **{field: url})
        assert answer.status_code == 201, (url, answer.text)
        link = Access(CONFIG).verify(answer.json()["token"])
        assert {"returnUrl": link.return_url, "refreshUrl": link.refresh_url}[field] == kept, url


async def test_the_embedder_and_the_brand_are_held_to_the_same(web):
    for url in DISGUISES:
        embedder = url.replace("salon.example", "platform.example")
        answer = await made(web, embedOrigin=embedder)
        assert (answer.status_code, answer.json()["field"]) == (422, "embedOrigin"), url
        if not url.lower().startswith(("http://", "https:")) or "@" in url.partition("://")[2].partition("/")[0]:
            for name in ("logoUrl", "supportUrl", "privacyUrl"):
                answer = await made(web, brand={name: url})
                assert (answer.status_code, answer.json()["field"]) == (422, f"brand.{name}"), url


async def test_no_logo_writes_into_the_pages_policy(web):
    for host in (
        "a;sandbox",
        "a,b",
        "*",
        "*.example",
        "a'b",
        'a"b',
        "a%3bsandbox",
        "a%2cb",
        "a(b)",
        "a=b",
        "a$b",
        "a!b",
    ):
        answer = await made(web, brand={"logoUrl": f"https://{host}/logo.svg"})
        assert (answer.status_code, answer.json().get("field")) == (422, "brand.logoUrl"), host
    for host in ("cdn.example", "my_cdn.example:8443", "[2606:4700::1111]", "xn--80ak6aa92e.example"):
        assert (await made(web, brand={"logoUrl": f"https://{host}/a;b,c"})).status_code == 201, host


def target(url):
    """As the API does: read by the model, and judged. Raises ValueError."""
    check_target(str(NewReceiver.model_validate_json(json.dumps({"url": url}), strict=True).url), ())


@each(
    "host",
    [
        *("127.0.0.1", "127.1", "127.0.1", "0", "0.0.0.0", "0x7f.1", "0x7f000001", "0177.0.0.1", "017700000001"),
        *("2130706433", "127.0.0.1.", "127。0。0。1", "１２７.0.0.1", "%31%32%37.0.0.1", "10.0.0.8", "172.31.255.255"),
        *(
            "192.168.0.1",
            "169.254.169.254",
            "0xa9fea9fe",
            "2852039166",
            "0251.0376.0251.0376",
            "100.64.0.1",
            "224.0.0.1",
        ),
        *("[::]", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:a9fe:a9fe]", "[::127.0.0.1]"),
        *("[fc00::1]", "[fd00:ec2::254]", "[fe80::1]", "[ff02::1]", "[64:ff9b::7f00:1]", "[64:ff9b::a9fe:a9fe]"),
        *("[2002:7f00:1::]", "[2002:a9fe:a9fe::]", "[2001:0:7f00:1::]", "[2001:db8::1]", "[100::1]", "[64:ff9b:1::1]"),
        *(
            "localhost",
            "LOCALHOST",
            "localhost.",
            "a.localhost",
            "ｌｏｃａｌｈｏｓｔ",
            "user@hooks.example",
            "u:p@hooks.example",
        ),
    ],
)
def test_a_companys_events_go_to_no_inner_address_however_it_is_written(host):
    with pytest.raises((ValidationError, ValueError)):
        target(f"https://{host}/hook")


@each(
    "url", ["ftp://hooks.example/", "file:///etc/passwd", "gopher://hooks.example/", "unix:/run/x", "hooks.example", ""]
)
def test_a_companys_events_go_by_http(url):
    with pytest.raises((ValidationError, ValueError)):
        target(url)


@each(
    "url", ["https://hooks.example/", "http://hooks.example:8080/x?y", "https://8.8.8.8/", "https://[2606:4700::1111]/"]
)
def test_a_public_address_is_taken(url):
    target(url)


WRONG_TYPES = [
    ("POST", LINKS, {"companyId": 5}),
    ("POST", LINKS, {"companyId": ["a"]}),
    ("POST", LINKS, {"companyId": "a", "ttlSeconds": "600"}),
    ("POST", LINKS, {"companyId": "a", "ttlSeconds": 600.5}),
    ("POST", LINKS, {"companyId": "a", "ttlSeconds": True}),
    ("POST", LINKS, {"companyId": "a", "brand": []}),
    ("POST", LINKS, {"companyId": "a", "brand": {"name": 5}}),
    ("POST", LINKS, {"company_id": "a"}),
    ("POST", LINKS, {"companyId": "a", "company_id": "b"}),
    ("POST", LINKS, {"companyId": "a", "__proto__": {}}),
    ("POST", LINKS, {"companyId": "a", "constructor": {"prototype": {}}}),
    ("POST", LINKS, []),
    ("POST", LINKS, "companyId"),
    ("POST", LINKS, None),
    ("POST", "/api/v1/companies/a/messages", {"to": 79001234567, "text": "x"}),
    ("POST", "/api/v1/companies/a/messages", {"to": "+79001234567", "text": {"x": 1}}),
    ("POST", "/api/v1/companies/a/attempts", {"method": True}),
    ("PUT", "/api/v1/companies/a/webhook", {"url": ["https://hooks.example/"]}),
    ("PUT", "/api/v1/companies/a/webhook", {"url": "https://hooks.example/", "events": "message.sent"}),
]


async def test_types_are_strict(web):
    for method, path, body in WRONG_TYPES:
        answer = await web.request(method, path, json=body)
        assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json"), (path, body)


TWICE = [
    ("POST", LINKS, b'{"companyId":"a","companyId":"b"}', "companyId"),
    ("POST", LINKS, b'{"companyId":"a","company\\u0049d":"b"}', "companyId"),
    ("POST", LINKS, b'{"companyId":"a","brand":{"name":"A","name":"B"}}', "name"),
    ("POST", "/api/v1/companies/a/messages", b'{"to":"+79001234567","text":"x","to":"+79001234568"}', "to"),
    ("POST", "/api/v1/companies/a/attempts", b'{"method":"qr","method":"code"}', "method"),
    ("PUT", "/api/v1/companies/a/webhook", b'{"url":"https://a.example/","url":"https://b.example/"}', "url"),
    ("POST", "/api/v1/webhooks/test", b'{"companyId":"a","companyId":"b"}', "companyId"),
]


async def test_no_field_stands_twice_in_any_body(web):
    for method, path, body, field in TWICE:
        answer = await web.request(method, path, content=body, headers={"content-type": "application/json"})
        assert (answer.status_code, answer.json().get("field")) == (422, field), (path, answer.text)


async def test_a_path_names_one_company_and_no_other_place(web):
    for word in ("a/../b", "a%2fb", "a\\b", "a;b", "a\r\nx: y", "a\x00", "a" * 65, "ａ", "a b", "~", "*"):
        answer = await web.get(f"/api/v1/companies/{quote(word, safe='')}")
        assert answer.status_code == 404, (word, answer.text)
        assert "x" not in answer.headers
