"""The page's files as the web process serves them: small, checked for freshness, and nothing but what is to be served."""

import base64
import gzip
import http.client
import random
import re
import shutil
import subprocess

import brotli
import httpx
import pytest
from playwright.async_api import async_playwright
from starlette.applications import Starlette

from app.page.assets import FRONTEND, GALLERY, SERVED, STYLES, Assets, stripped
from shared.core import qr
from shared.core.clock import now_ms
from shared.core.lifecycle import State
from shared.core.protocol import Method, QrView
from tests.integration.web import ORIGIN, Web
from tests.unit.world import ONE, SESSION, change

BUDGET = 40 * 1024
LOCALES = ("ru", "en", "pt-BR", "es")
#: As long as WhatsApp's longest: the server's ref, three keys and the platform.
REF, *KEYS = (base64.b64encode(random.Random(size).randbytes(size)).decode() for size in (120, 32, 32, 32))
QR_TEXT = f"https://wa.me/settings/linked_devices#2@{REF},{','.join(KEYS)},1"
SOURCES = sorted(path for glob in SERVED for path in FRONTEND.glob(glob))
MODULES = [path for path in SOURCES if path.suffix == ".js"]
SHEETS = [path for path in SOURCES if path.suffix == ".css"]


def named(path):
    return path.relative_to(FRONTEND).as_posix()


def raw(web, path, **headers):
    """An answer to exactly this path, which a polite client would have cleaned up."""
    connection = http.client.HTTPConnection("127.0.0.1", web.port, timeout=10)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


# --- what is transferred


class Meter:
    """What a tab receives, by Chromium's own count: bodies as they travelled, with their headers."""

    def __init__(self, session):
        self.files: dict[str, float] = {}
        self.urls: dict[str, str] = {}
        self.frames: list[int] = []
        self.shook = 0
        session.on(
            "Network.requestWillBeSent", lambda e: self.urls.setdefault(e["requestId"], e["request"]["url"][:80])
        )
        session.on("Network.loadingFinished", self._file)
        session.on("Network.webSocketHandshakeResponseReceived", self._handshake)
        session.on("Network.webSocketFrameReceived", self._frame)

    def _file(self, event):
        if (url := self.urls[event["requestId"]]).startswith("http"):
            self.files[url] = event["encodedDataLength"]

    def _handshake(self, event):
        self.shook = len(event["response"]["headersText"])

    def _frame(self, event):
        size = len(event["response"]["payloadData"].encode())
        self.frames.append(size + (2 if size < 126 else 4))

    @property
    def total(self):
        return sum(self.files.values()) + self.shook + sum(self.frames)

    def __str__(self):
        files = "\n".join(f"{int(size):6} {url}" for url, size in self.files.items())
        return (
            f"{files}\n{sum(self.files.values()):.0f} in {len(self.files)} files, {self.shook} for the socket, "
            f"{sum(self.frames)} in its messages {self.frames}: {self.total:.0f} of {BUDGET}"
        )


@pytest.fixture
async def browser(chromium_executable):
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(
            executable_path=chromium_executable, args=["--no-sandbox", "--disable-gpu"]
        )
        yield running
        await running.close()


async def open_until_qr(browser, web, world, locale, **options):
    """Open a link as an owner at a desktop does, be the worker who shows a QR, and tell what it took and what the
    browser complained of."""
    context = await browser.new_context(locale=locale, viewport={"width": 1280, "height": 800}, **options)
    page = await context.new_page()
    session = await context.new_cdp_session(page)
    await session.send("Network.enable")
    meter, complaints = Meter(session), []
    page.on("console", lambda said: complaints.append(said.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("requestfailed", lambda request: complaints.append(f"failed: {request.url}"))
    await page.goto(f"{web.url}/link#{web.access.sign(web.link('salon-1', locale=locale))}")
    await page.wait_for_selector("main[data-state=queued]")
    asked = await world.ask()  # joins what the page has asked for
    lease = await world.leases.acquire(SESSION, ONE, attempt=asked.attempt)
    deadline = now_ms() + 160_000
    await world.snapshots.save(lease, change(State.CONNECTING, method=Method.QR, deadline=deadline))
    await page.wait_for_selector("main[data-state=connecting]")
    shown = QrView(text=QR_TEXT, svg=qr.svg(QR_TEXT), number=1, of=qr.COUNT, expires_at=now_ms() + 60_000)
    await world.snapshots.save(lease, change(State.AWAITING_PHONE, method=Method.QR, deadline=deadline, qr=shown))
    await page.wait_for_selector("[data-testid=qr]:visible")
    await page.wait_for_function("document.querySelector('[data-testid=qr]').naturalWidth > 0")
    await page.wait_for_load_state("networkidle")
    return page, meter, complaints


@pytest.mark.browser
@pytest.mark.parametrize(("encoding", "budget"), [("br", BUDGET), ("gzip", BUDGET * 1.1)])
async def test_the_page_transfers_little_until_the_qr_is_on_screen(browser, web, world, encoding, budget):
    """Brotli is what every browser takes of an https page; gzip is for who stands behind an old proxy."""
    options = {"extra_http_headers": {"accept-encoding": encoding}}
    _, meter, complaints = await open_until_qr(browser, web, world, "ru", **options)
    print(meter)
    assert complaints == []
    assert {url for url in meter.urls.values() if not url.startswith((f"{web.url}/", "ws:", "data:"))} == set()
    wanted = {STYLES, "locales/ru.json", *(named(path) for path in MODULES if named(path) not in GALLERY)}
    assert {f"{web.url}/static/{name}" for name in wanted} <= set(meter.files)
    assert max(meter.frames) > len(qr.svg(QR_TEXT))
    assert meter.total <= budget, meter


@pytest.mark.browser
@pytest.mark.parametrize("locale", LOCALES)
async def test_the_stripped_page_works_in_every_language(browser, web, world, locale):
    page, _, complaints = await open_until_qr(browser, web, world, locale)
    assert await page.get_attribute("html", "lang") == locale
    await page.get_by_test_id("switch-method").click()
    await page.get_by_test_id("phone").fill("+55 11 91234-5678")
    await page.get_by_test_id("locale").select_option("en" if locale == "ru" else "ru")
    await page.wait_for_selector(f"main[lang={'en' if locale == 'ru' else 'ru'}]")
    assert complaints == []


# --- stripping


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_a_stripped_module_parses_and_is_one_that_the_stripper_understands(path):
    source = path.read_text()
    assert not re.search(r"\$\{[^{}`]*`", source), "a template literal in another is beyond rjsmin: name the inner one"
    code = stripped(path.name, source)
    assert len(code) < len(source)
    if node := shutil.which("node"):
        checked = subprocess.run([node, "--check", "--input-type=module"], input=code, capture_output=True, text=True)
        assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize(
    "literal",
    [
        "`two  blanks // no comment ${b} /* none */`",
        '/[/]\\/\\/ "`/',
        "/\\{(\\w+)\\}/g",
        '"https://example.org/* none */"',
        "'it\\'s // none'",
    ],
)
def test_what_only_looks_like_a_comment_stays(literal):
    for before in ("const a = ", "return ", "f(", "[1, "):
        code = stripped("x.js", f"// first\n{before}{literal} // second\n/* third */")
        assert literal in code
        assert not re.search("first|second|third", code)


@pytest.mark.browser
async def test_a_stripped_stylesheet_says_the_same(browser):
    page = await browser.new_page()
    for path in SHEETS:
        source = path.read_text()
        before, after = await page.evaluate(
            """(texts) => texts.map((text) => {
                const sheet = new CSSStyleSheet();
                sheet.replaceSync(text);
                return Array.from(sheet.cssRules, (rule) => rule.cssText);
            })""",
            [source, stripped(path.name, source)],
        )
        assert before
        assert after == before, path


# --- how it is served


@pytest.mark.parametrize("path", ["/link", "/static/main.js", "/static/styles.css", "/static/locales/ru.json"])
def test_a_file_goes_out_in_the_best_encoding_and_with_a_tag(web, path):
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
        assert set(headers["vary"].lower().split(", ")) == {"accept-encoding"}
        assert headers["cache-control"] == "no-cache"
        assert headers["x-content-type-options"] == "nosniff"
        assert int(headers["content-length"]) == len(body)
        bodies.append(unpack(body))
        tags.add(headers["etag"])
        for known in (headers["etag"], f'"other", W/{headers["etag"]}', "*"):
            status, again, nothing = raw(web, path, **{"Accept-Encoding": accepted, "If-None-Match": known})
            assert (status, nothing) == (304, b"")
            assert again["etag"] == headers["etag"]
            assert again["vary"] == "accept-encoding"
        assert raw(web, path, **{"If-None-Match": '"other"'})[0] == 200
    assert len(set(bodies)) == 1
    assert len(tags) == 3, "each encoding has its own tag"


def test_only_documents_carry_the_policies_of_documents(web):
    _, page, _ = raw(web, "/link")
    assert "default-src 'none'" in page["content-security-policy"]
    assert page["referrer-policy"] == "no-referrer"
    assert page["cross-origin-opener-policy"] == "same-origin"
    assert "camera=()" in page["permissions-policy"]
    assert page["strict-transport-security"] == "max-age=31536000"
    for path in ("/static/main.js", "/static/nothing.js", "/api/v1/companies/salon", "/healthz"):
        _, headers, _ = raw(web, path)
        assert "content-security-policy" not in headers
        assert "strict-transport-security" not in headers
        assert headers["x-content-type-options"] == "nosniff"


def test_under_a_foreign_address_the_browser_is_sent_to_the_right_one(web):
    status, headers, _ = raw(web, "/link", Host="foreign.example")
    assert (status, headers["location"]) == (308, f"{ORIGIN}/link?moved")
    assert raw(web, "/link?moved", Host="foreign.example")[0] == 200
    assert raw(web, "/static/main.js", Host="foreign.example")[0] == 200


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
        assert raw(web, "/static/fixtures.js")[2] == (FRONTEND / "fixtures.js").read_bytes()
        assert raw(web, "/static/README.md")[0] == 404
        assert raw(web, "/static/view/../main.js")[0] == 404


async def test_a_fresh_file_is_read_for_each_request(folder):
    app = Starlette(routes=Assets(gallery=True, fresh=True, folder=folder).routes())
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
