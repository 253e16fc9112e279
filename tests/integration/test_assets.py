"""The page's files as the web process serves them: few, small, kept for ever, and nothing but what is to be served."""

import gzip
import http.client
import re

import brotli
import httpx
import pytest
from starlette.applications import Starlette

from app.page.assets import FRONTEND, GALLERY, Assets
from app.page.look import Platform
from shared.core import qr
from tests.integration.web import ORIGIN, Web
from tests.page.visit import (
    BYTES,
    BYTES_AGAIN,
    QR_TEXT,
    REQUESTS,
    REQUESTS_AGAIN,
    visit_again,
    visit_until_qr,
)

LOCALES = sorted(path.stem for path in (FRONTEND / "locales").glob("*.json"))
PLATFORM = Platform("Bookwell", "Bookwell")


def raw(web, path, **headers):
    """An answer to exactly this path, which a polite client would have cleaned up."""
    connection = http.client.HTTPConnection("127.0.0.1", web.port, timeout=10)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def arriving(locale, **options):
    """A browser of somebody at a desktop who reads this language."""
    return {"locale": locale, "viewport": {"width": 1280, "height": 800}, **options}


@pytest.mark.browser
@pytest.mark.parametrize(("encoding", "budget"), [("br", BYTES), ("gzip", BYTES * 1.15)])
async def test_the_page_transfers_little_until_the_qr_is_on_screen(browser, web, world, encoding, budget):
    """Brotli is what every browser takes of an https page; gzip is for who stands behind an old proxy."""
    context = await browser.new_context(**arriving("ru", extra_http_headers={"accept-encoding": encoding}))
    opened = await visit_until_qr(context, web, world)
    meter = opened.meter
    assert opened.complaints == []
    assert {url for url in meter.urls.values() if not url.startswith((f"{web.url}/", "ws:", "data:"))} == set()
    kinds = sorted(re.sub(r"^.*/(\w+)\.[\w-]{8}(\.\w+)$", r"\1\2", url) for url in meter.files)
    assert kinds == [f"{web.url}/link", "main.js", "styles.css"]
    assert max(meter.frames) < len(qr.svg(QR_TEXT)) / 2, "the QR comes packed"
    assert meter.requests <= REQUESTS
    assert meter.total <= budget, meter


@pytest.mark.browser
async def test_a_second_visit_transfers_next_to_nothing(browser, web, world):
    context = await browser.new_context(**arriving("ru"))
    await (await visit_until_qr(context, web, world)).page.close()
    again = await visit_again(context, web)
    assert again.complaints == []
    assert again.meter.requests <= REQUESTS_AGAIN
    assert again.meter.total <= BYTES_AGAIN, again.meter


@pytest.mark.browser
@pytest.mark.parametrize("locale", LOCALES)
async def test_the_stripped_page_works_in_every_language(browser, web, world, locale):
    opened = await visit_until_qr(await browser.new_context(**arriving(locale)), web, world, locale=locale)
    page = opened.page
    assert await page.get_attribute("html", "lang") == locale
    await page.get_by_test_id("switch-method").click()
    await page.get_by_test_id("phone").fill("+55 11 91234-5678")
    await page.get_by_test_id("locale").select_option("en" if locale == "ru" else "ru")
    await page.wait_for_selector(f"main[lang={'en' if locale == 'ru' else 'ru'}]")
    assert opened.complaints == []


def addresses(web):
    """The page, and what it names."""
    html = raw(web, "/link")[2].decode()
    named = set(re.findall(r"/static/[\w.*/-]+", html))
    return ["/link", *sorted({one.replace("*", locale) for one in named for locale in LOCALES})]


def test_a_file_goes_out_in_the_best_encoding_and_with_a_tag(web):
    names = addresses(web)
    assert len(names) == 5 + len(LOCALES)
    for path in names:
        bodies, tags = [], set()
        for accepted, expected, unpack in [
            ("gzip, deflate, br, zstd", "br", brotli.decompress),
            ("gzip, br;q=0", "gzip", gzip.decompress),
            ("gzip;q=1.0", "gzip", gzip.decompress),
            ("identity", None, bytes),
        ]:
            status, headers, body = raw(web, path, **{"Accept-Encoding": accepted})
            assert status == 200
            assert headers.get("content-encoding") == expected
            assert "accept-encoding" in headers["vary"].lower().split(", ")
            assert headers["cache-control"] == (
                "private, no-cache" if path == "/link" else "public, max-age=31536000, immutable"
            )
            assert headers["x-content-type-options"] == "nosniff"
            assert int(headers["content-length"]) == len(body)
            bodies.append(unpack(body))
            tags.add(headers["etag"])
            for known in (headers["etag"], f'"other", W/{headers["etag"]}', "*"):
                status, again, nothing = raw(web, path, **{"Accept-Encoding": accepted, "If-None-Match": known})
                assert (status, nothing) == (304, b"")
                assert again["etag"] == headers["etag"]
                assert {*again["vary"].lower().split(", ")} == {*headers["vary"].lower().split(", ")}
            assert raw(web, path, **{"If-None-Match": '"other"'})[0] == 200
        assert len(set(bodies)) == 1
        assert len(tags) == 3, "each encoding has its own tag"


def test_what_the_page_depends_on_is_told_to_caches(web):
    vary = raw(web, "/link")[1]["vary"].lower().split(", ")
    assert set(vary) == {"accept-encoding", "accept-language", "cookie", "user-agent", "sec-ch-ua-mobile"}


def test_a_name_changes_with_what_it_names(web):
    for path in addresses(web)[1:]:
        stem, _, digest = path.rsplit(".", 1)[0].rpartition(".")
        assert raw(web, path.replace(digest, "AAAAAAAA"))[0] == 404
        assert raw(web, stem + "." + path.rsplit(".", 1)[1])[0] == 404


def test_only_documents_carry_the_policies_of_documents(web):
    _, page, _ = raw(web, "/link")
    assert "default-src 'none'" in page["content-security-policy"]
    assert page["referrer-policy"] == "no-referrer"
    assert page["cross-origin-opener-policy"] == "same-origin"
    assert "camera=()" in page["permissions-policy"]
    assert page["strict-transport-security"] == "max-age=31536000"
    for path in (addresses(web)[1], "/static/nothing.js", "/api/v1/companies/salon", "/healthz"):
        _, headers, _ = raw(web, path)
        assert "content-security-policy" not in headers
        assert "strict-transport-security" not in headers
        assert headers["x-content-type-options"] == "nosniff"


def test_under_a_foreign_address_the_browser_is_sent_to_the_right_one(web):
    status, headers, _ = raw(web, "/link", Host="foreign.example")
    assert (status, headers["location"]) == (308, f"{ORIGIN}/link?moved")
    assert raw(web, "/link?moved", Host="foreign.example")[0] == 200
    assert raw(web, addresses(web)[1], Host="foreign.example")[0] == 200


def test_without_https_nothing_is_said_of_it(redis_server, folder):
    with Web.running(redis_server, folder / "web.log", PUBLIC_URL="") as web:
        status, headers, _ = raw(web, "/link", Host="foreign.example")
        assert status == 200
        assert "strict-transport-security" not in headers


@pytest.mark.parametrize(
    "path",
    [
        "/static/",
        "/static/README.md",
        "/static/tsconfig.json",
        "/static/types.d.ts",
        "/static/protocol.d.ts",
        "/static/index.html",
        "/static/skeleton.html",
        "/static/main.js",
        "/static/styles.css",
        "/static/view/panel.js",
        "/static/locales/ru.json",
        "/static/view",
        "/static/view/",
        "/static//main.js",
        "/static/./main.js",
        "/static/view/../main.js",
        "/static/../app/main.py",
        "/static/..%2fapp%2fmain.py",
        "/static/%2e%2e/app/main.py",
        "/static/..\\app\\main.py",
        "/static//etc/passwd",
        "/static/%2fetc%2fpasswd",
        "/static/main.js%00",
        "/static/MAIN.JS",
        "/states",
        *(f"/static/{name}" for name in sorted(GALLERY)),
    ],
)
def test_nothing_else_is_served(web, path):
    assert raw(web, path)[0] == 404


def test_in_development_an_edit_shows_and_the_gallery_is_there(redis_server, folder):
    with Web.running(redis_server, folder / "web.log", DEVELOPMENT="true") as web:
        assert raw(web, "/states")[0] == 200
        assert b'src="/static/main.js"' in raw(web, "/link")[2]
        assert raw(web, "/static/fixtures.js")[2] == (FRONTEND / "fixtures.js").read_bytes()
        assert raw(web, "/static/README.md")[0] == 404
        assert raw(web, "/static/view/../main.js")[0] == 404


async def test_a_fresh_file_is_read_for_each_request(folder):
    app = Starlette(
        routes=Assets(platform_of=lambda _request: PLATFORM, gallery=True, fresh=True, folder=folder).routes()
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://web") as client:
        assert (await client.get("/static/new.js")).status_code == 404
        (folder / "new.js").write_text("// one\n")
        first = await client.get("/static/new.js")
        assert first.text == "// one\n"
        (folder / "new.js").write_text("// two\n")
        second = await client.get("/static/new.js", headers={"if-none-match": first.headers["etag"]})
        assert (second.status_code, second.text) == (200, "// two\n")
        third = await client.get("/static/new.js", headers={"if-none-match": second.headers["etag"]})
        assert third.status_code == 304
