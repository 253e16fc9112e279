"""A page of another origin, which has got hold of a link or of the page around ours: it frames, listens, forges, and looks
wherever a token could have been left. In Chromium, beside `test_embedding.py`."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.async_api import Page, expect
from pydantic import SecretStr

from app.access import BadToken, PageLook
from app.page.look import Platform
from shared.core.lifecycle import State
from shared.settings import Settings
from tests.integration.embedding import (
    DEVICE,
    LISTEN,
    open_page,
    platform,
    platform_url,
    run_to,
    service,
    service_process,
    shelf,
    world,
)
from tests.waiting import until

__all__ = ["open_page", "platform", "platform_url", "service", "service_process", "shelf", "world"]

pytestmark = pytest.mark.browser

FORGED = '{source: "whatsapp-onboarding", v: 1, type: "linked", companyId: "salon-1", attempt: 9}'
#: Pages of the attacker's: one that only listens, and one that forges news to whoever is around it.
SCRIPTS = {"/": LISTEN, "/forger": f"parent.postMessage({FORGED}, '*'); opener?.postMessage({FORGED}, '*');"}


@pytest.fixture
def attacker() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """The origin of the attacker's pages, and the headers that browsers have sent there."""
    came: list[dict[str, str]] = []

    class Attacker(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            came.append({name.lower(): value for name, value in self.headers.items()})
            script = SCRIPTS.get(urlsplit(self.path).path, "")
            body = f"<!doctype html><title>x</title><div id=place></div><script>{script}</script>".encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Attacker)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://localhost:{server.server_address[1]}", came
    server.shutdown()
    thread.join()
    server.server_close()


def complaints_of(page: Page) -> list[str]:
    found: list[str] = []
    page.on("console", lambda said: found.append(said.text))
    return found


def refused(complaints: list[str]) -> int:
    return sum("frame-ancestors" in one for one in complaints)


#: Ways to put another page into one's own; {url} is our page with a link, {platform} the page that may frame it.
MARKUP = [
    '<iframe src="{url}"></iframe>',
    '<iframe sandbox="allow-scripts allow-same-origin" src="{url}"></iframe>',
    '<object data="{url}" type="text/html"></object>',
    '<embed src="{url}" type="text/html">',
    "<iframe srcdoc='<iframe src=\"{url}\"></iframe>'></iframe>",
]


async def test_no_foreign_page_lies_around_ours_to_steal_clicks(attacker, platform, world, open_page, service):
    """Also not with the page that may: who is further out counts as well."""
    url = httpx.post(f"{platform}/whatsapp-link").text
    page = await open_page(attacker[0])
    put = "(markup) => { document.querySelector('#place').innerHTML = markup }"
    complaints = complaints_of(page)
    for markup in MARKUP:
        complaints.clear()
        await page.evaluate(put, markup.format(url=url.replace("&", "&amp;")))
        await until(lambda: refused(complaints))
    complaints.clear()
    await page.evaluate(put, f'<iframe src="{platform}"></iframe>')
    await page.frame_locator("iframe").get_by_role("button", name="Link WhatsApp here").click()
    await until(lambda: refused(complaints))
    assert await world.state() is State.UNLINKED, "no page ran there"
    assert [one for one in await page.evaluate("window.told") if one.get("source") == "whatsapp-onboarding"] == []


async def test_who_opens_the_page_hears_nothing_moves_nothing_and_reads_nothing(
    attacker, platform, world, open_page, service
):
    """The attacker has a link with an embedder that is not it, and keeps the window that it has opened."""
    url = httpx.post(f"{platform}/whatsapp-link").text
    page = await open_page(attacker[0])
    async with page.context.expect_page() as opening:
        await page.evaluate("(url) => { window.popup = window.open(url, 'named', 'popup') }", url)
    popup = await opening.value
    await popup.wait_for_selector("main[data-link=ready]")
    await until(lambda: is_queued(world))
    reads = ["popup.location.href", "popup.location.hash", "popup.document.title", "popup.history.state", "popup.name",
             "popup.sessionStorage.length", "popup.frames[0]", "popup.embedder"]  # fmt: skip
    got = await page.evaluate(
        "(reads) => reads.map((one) => { try { return String(eval(one)) } catch (error) { return error.name } })", reads
    )
    assert set(got) <= {"SecurityError", "undefined"}, dict(zip(reads, got, strict=True))
    # Whatever it says to the page, in its own words or in ours, is not heard.
    await page.evaluate(
        """() => {
        for (const type of ["cancel", "state", "linked", "request-qr", "resize", "picture", "hello"])
            for (const data of [{type}, {source: "whatsapp-onboarding", v: 1, type}, JSON.stringify({type}), type])
                popup.postMessage(data, "*");
    }"""
    )
    await run_to(world, State.LINKED, device=DEVICE)
    await popup.wait_for_selector("main[data-state=linked]")
    assert await page.evaluate("window.told") == []


async def is_queued(world) -> bool:
    return await world.state() is State.QUEUED


async def test_a_token_is_left_nowhere_that_the_next_page_can_look(attacker, service, world, open_page):
    """The owner follows a link of the page to another site, which looks around and goes back."""
    origin, came = attacker
    link = service.link("salon-1", look=PageLook(name="Bookwell", support_url=f"{origin}/support"))
    token = service.access.sign(link)
    page = await open_page(f"{service.url}/link?look={service.access.sign_look(link.look)}#{token}")
    await page.wait_for_selector("main[data-link=ready]")
    assert "#" not in page.url
    assert token not in await page.content()
    support = page.locator(f"a[href='{origin}/support']").first
    await support.evaluate("(one) => { one.removeAttribute('target'); one.click() }")
    await page.wait_for_url(f"{origin}/support")
    found = await page.evaluate(
        "[document.referrer, window.name, String(history.state), location.href, document.cookie, String(opener), "
        "JSON.stringify(sessionStorage), JSON.stringify(performance.getEntries())]"
    )
    assert found[0] == ""
    assert not [one for one in found if token in one]
    assert came
    assert not [one for one in came if "referer" in one or "cookie" in one or token in str(one)]
    await page.go_back()
    await page.wait_for_selector("main[data-link=ready]")  # the tab still knows it; no address does
    assert token not in page.url
    entries = await page.evaluate("performance.getEntries().map((one) => one.name).join(' ')")
    assert token not in entries


async def test_a_foreign_script_opens_no_socket_and_reads_no_answer(attacker, service, open_page):
    page = await open_page(attacker[0])
    address = service.url.replace("http", "ws") + "/ws/v1"
    opened = await page.evaluate(
        """(url) => new Promise((resolve) => {
        const socket = new WebSocket(url);
        socket.onopen = () => resolve("open");
        socket.onclose = () => resolve("closed");
    })""",
        address,
    )
    assert opened == "closed"
    paths = ("/link", "/healthz", "/readyz", "/metrics", "/api/v1/companies", "/api/v1/openapi.json", "/docs")
    read = await page.evaluate(
        """async (urls) => Promise.all(urls.map(async (url) => {
        try { await (await fetch(url, {credentials: "include", headers: {authorization: "Bearer x"}})).text() }
        catch (error) { return error.name }
        return "read " + url;
    }))""",
        [f"{service.url}{path}" for path in paths],
    )
    assert set(read) == {"TypeError"}


async def test_the_page_around_believes_our_frame_alone(attacker, platform, world, open_page, service):
    """A forger in another frame, and one that has taken our frame's place."""
    page = await open_page(platform)
    await page.get_by_role("button", name="Link WhatsApp here").click()
    await page.frame_locator("iframe[title=WhatsApp]").get_by_test_id("title").wait_for()
    await expect(page.get_by_role("status")).to_have_text("queued")  # there is no worker
    heard = "window.told.filter((one) => one.attempt === 9 && one.origin !== ours).length"
    await page.evaluate("(ours) => { window.ours = ours }", service.url)
    await page.evaluate(
        "(url) => { const other = document.createElement('iframe'); other.src = url; document.body.append(other) }",
        f"{attacker[0]}/forger",
    )
    await page.wait_for_function(f"{heard} === 1")
    await page.evaluate(
        "(url) => { document.querySelector('iframe[title=WhatsApp]').contentWindow.location.replace(url) }",
        f"{attacker[0]}/forger",
    )
    await page.wait_for_function(f"{heard} === 2")
    await expect(page.get_by_role("status")).to_have_text("queued")


async def test_an_address_that_is_code_does_not_run_in_the_page_around(platform, open_page):
    page = await open_page(platform)
    for url in ("javascript:window.ran=1//", "JavaScript:window.ran=1", "data:text/html,x", "blob:x", "about:blank"):
        said = await page.evaluate(
            """(url) => [document.body, undefined].map((container) => {
            try { WhatsAppOnboarding.open({url, container}); return "opened" } catch (error) { return error.name }
        })""",
            url,
        )
        assert said == ["TypeError", "TypeError"], url
    assert await page.evaluate("window.ran") is None
    assert await page.locator("iframe").count() == 0


def test_the_look_of_an_address_is_signed_and_names_an_embedder_that_is_still_one(service):
    signed = service.access.sign_look(PageLook(embed_origin="https://gone.example"))
    secrets: Any = {"secret_key": SecretStr("k" * 40), "api_keys": (SecretStr("a" * 20),)}
    config = Settings(**secrets, embed_origins=("https://good.example",))
    assert Platform.of(config, service.access.read_look(signed)).embed_origin is None
    head, claims, sign = signed.split(".")
    token = service.access.sign(service.link("salon-1", look=PageLook(embed_origin="https://good.example")))
    for bent in (
        f"{head}.{claims}.{sign[::-1]}",
        f"{head}.{claims}.",
        f"{head}.{claims[:-4]}AAAA.{sign}",
        "x",
        "",
        token,
    ):
        assert service.access.read_look(bent) is None
    with pytest.raises(BadToken):
        service.access.verify(signed)
