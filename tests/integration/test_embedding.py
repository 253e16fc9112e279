"""docs/embedding.md as it stands: its page and its server on one origin, ours on another, in Chromium; and a third origin,
which gets nothing."""

import contextlib
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from playwright.async_api import expect

from app.access import PageLook
from app.page.assets import EMBED, FRONTEND, stripped
from shared.core.lifecycle import State
from tests.integration.embedding import (
    DEVICE,
    LISTEN,
    REFUSED,
    open_page,
    platform,
    platform_url,
    run_to,
    service,
    service_process,
    shelf,
    told,
    world,
)
from tests.waiting import until

__all__ = ["open_page", "platform", "platform_url", "service", "service_process", "shelf", "world"]

pytestmark = pytest.mark.browser


class Foreign(BaseHTTPRequestHandler):
    """A page of another origin, that tries to frame ours and to hear of it."""

    def do_GET(self) -> None:
        body = f"<!doctype html><title>x</title><script>{LISTEN}</script><div id=place></div>".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        with contextlib.suppress(BrokenPipeError):
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def foreign() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Foreign)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://localhost:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("size", [(360, 640), (1280, 800)])
async def test_a_frame_tells_why_it_ended_that_it_is_linked_and_is_as_tall_as_what_is_in_it(
    platform, world, open_page, service, size
):
    width, height = size
    page = await open_page(platform, viewport={"width": width, "height": height})
    await page.get_by_label("A note").fill("not lost")
    button = page.get_by_role("button", name="Link WhatsApp here")
    await button.click()
    frame = page.frame_locator("iframe[title=WhatsApp]")
    await expect(frame.get_by_test_id("title")).to_be_visible()
    await page.wait_for_function("document.activeElement.tagName === 'IFRAME'")  # the focus has gone into it
    await run_to(world, State.FAILED, failure=REFUSED)
    ended = await told(page, "ended", reason="pairing-refused")
    assert "status=failed" in ended["returnUrl"]
    await frame.get_by_test_id("retry").click()
    await run_to(world, State.LINKED, device=DEVICE)
    linked = await told(page, "linked")
    assert linked["attempt"] > ended["attempt"]
    await expect(page.get_by_role("status")).to_have_text("salon-1 is linked")
    assert linked == {
        "source": "whatsapp-onboarding",
        "v": 1,
        "type": "linked",
        "companyId": "salon-1",
        "attempt": linked["attempt"],
        "returnUrl": linked["returnUrl"],
        "origin": service.url,
    }
    states = await page.evaluate("window.told.filter((one) => one.type === 'state').map((one) => one.state)")
    # In their order; a socket is sent the newest, so those between may be missing.
    assert [one for one in states if one in {"unlinked", "failed", "linked"}] == ["unlinked", "failed", "linked"]
    # One scroll bar at most, and that is the page's around.
    await expect(frame.get_by_test_id("title")).to_have_text("WhatsApp is linked")
    (inner,) = [one for one in page.frames if one.parent_frame]
    await page.wait_for_function("document.querySelector('iframe').offsetHeight !== 640")
    inside = "({scrollHeight, scrollWidth}) => scrollHeight === innerHeight && scrollWidth === innerWidth"
    await inner.wait_for_function(f"({inside})(document.scrollingElement)")
    assert await page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    # The token stands nowhere in the markup around; what was typed there is still there.
    assert "#" not in await page.evaluate("document.querySelector('iframe').outerHTML")
    assert await page.get_by_label("A note").input_value() == "not lost"
    # The way back takes the whole tab, and is believed there.
    await frame.get_by_test_id("return").click()
    await page.wait_for_url(re.compile(r"/back\?status=linked&companyId=salon-1&"))
    assert await page.inner_text("body") == "back: linked"
    forged = page.url.replace("status=linked", "status=failed")
    await page.goto(forged)
    assert await page.inner_text("body") == "this is not from our service"


async def test_a_popup_tells_why_it_ended_and_that_it_was_closed(platform, world, open_page):
    page = await open_page(platform)
    async with page.context.expect_page() as opening:
        await page.get_by_role("button", name="Link WhatsApp in a window").click()
    popup = await opening.value
    await run_to(world, State.FAILED, failure=REFUSED)
    ended = await told(page, "ended")
    assert (ended["reason"], ended["companyId"]) == ("pairing-refused", "salon-1")
    await expect(page.get_by_role("status")).to_have_text("ended: pairing-refused")
    assert "status=failed" in ended["returnUrl"]
    assert "token" not in str(ended)
    # It may begin anew; then it is closed.
    await popup.get_by_test_id("retry").click()
    await expect(page.get_by_role("status")).to_have_text("queued")
    await popup.get_by_test_id("cancel").click()
    await told(page, "ended", reason="cancelled")
    await popup.get_by_test_id("retry").click()
    await expect(page.get_by_role("status")).to_have_text("queued")
    await popup.close()
    await expect(page.get_by_role("status")).to_have_text("ended: closed")


async def test_a_popup_tells_that_it_is_linked_and_may_then_be_closed(platform, world, open_page):
    page = await open_page(platform)
    async with page.context.expect_page() as opening:
        await page.get_by_role("button", name="Link WhatsApp in a window").click()
    popup = await opening.value
    await run_to(world, State.LINKED, device=DEVICE)
    await told(page, "linked", companyId="salon-1")
    await popup.close()
    await page.wait_for_timeout(700)  # longer than the script takes to see that it is closed
    assert await page.get_by_role("status").text_content() == "salon-1 is linked"


async def test_where_popups_are_blocked_it_goes_on_in_the_tab(platform, service, open_page):
    page = await open_page(platform)
    await page.evaluate("window.open = () => null")
    await page.get_by_role("button", name="Link WhatsApp in a window").click()
    await page.wait_for_url(f"{service.url}/link?**")
    await page.wait_for_selector("main[data-link=ready]")


async def test_the_page_around_keeps_the_focus_that_it_has(platform, world, open_page):
    page = await open_page(platform)
    await page.get_by_role("button", name="Link WhatsApp here").click()
    await page.frame_locator("iframe").get_by_test_id("title").wait_for()
    note = page.get_by_label("A note")
    await note.focus()
    await run_to(world, State.LINKED, device=DEVICE)
    await told(page, "linked")
    # So it is said, not shown by moving the focus.
    await expect(page.frame_locator("iframe").locator("[data-part=speaker]")).to_contain_text("WhatsApp is linked")
    await note.press_sequentially("still here")
    assert await note.input_value() == "still here"
    assert await page.evaluate("document.activeElement.tagName") == "INPUT"
    # And gets it back when the frame is closed.
    await page.get_by_role("button", name="Link WhatsApp here").focus()
    await page.keyboard.press("Enter")
    await page.wait_for_function("document.activeElement.tagName === 'IFRAME'")
    await page.evaluate("opened.close()")
    assert await page.evaluate("document.activeElement.id") == "frame"
    assert await page.locator("iframe").count() == 0


async def test_another_origin_cannot_frame_it_and_is_told_nothing(platform, foreign, world, open_page, service):
    url = httpx.post(f"{platform}/whatsapp-link").text
    page = await open_page(foreign)
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text))
    await page.evaluate(
        """(url) => {
        const frame = document.createElement("iframe");
        document.querySelector("#place").append(frame);
        frame.src = url;
    }""",
        url,
    )
    await until(lambda: any("frame-ancestors" in one for one in complaints))
    assert await world.state() is State.UNLINKED, "no page ran there"
    async with page.context.expect_page() as opening:
        await page.evaluate("(url) => { window.popup = window.open(url, '_blank', 'popup') }", url)
    popup = await opening.value
    await popup.wait_for_selector("main[data-link=ready]")
    await run_to(world, State.LINKED, device=DEVICE)
    await popup.wait_for_selector("main[data-state=linked]")
    assert await page.evaluate("window.told") == []


async def test_a_link_without_an_embedder_is_framed_by_nobody_and_says_nothing(platform, world, open_page, service):
    bare = service.access.sign(service.link("salon-1"))
    page = await open_page(platform)
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text))
    await page.evaluate(
        "(url) => WhatsAppOnboarding.open({url, container: document.body})", f"{service.url}/link#{bare}"
    )
    await until(lambda: any("frame-ancestors" in one for one in complaints))
    async with page.context.expect_page() as opening:
        await page.evaluate("(url) => { WhatsAppOnboarding.open({url}) }", f"{service.url}/link#{bare}")
    popup = await opening.value
    await popup.wait_for_selector("main[data-state=queued]")
    assert await popup.evaluate("window.opener") is None, "cut off"
    assert await page.evaluate("window.told") == []


async def test_what_was_framed_before_is_asked_anew(service, platform_url):
    """A browser keeps the policy of a page that it is told to be unchanged."""
    look = service.access.sign_look(PageLook(embed_origin=platform_url))
    async with service.http(None) as http:
        framed = await http.get("/link", params={"look": look})
        plain = await http.get("/link", headers={"if-none-match": framed.headers["etag"]})
        assert plain.status_code == 200
        again = await http.get("/link", params={"look": look}, headers={"if-none-match": framed.headers["etag"]})
        assert again.status_code == 304
        assert again.headers["content-security-policy"] == framed.headers["content-security-policy"]


async def test_the_script_for_other_pages_is_small_and_stays_under_its_name(service):
    async with service.http(None) as http:
        script = await http.get(f"/{EMBED}")
    assert script.text == stripped(EMBED, (FRONTEND / EMBED).read_text())
    assert len(script.content) <= 2048
    assert script.headers["content-type"] == "text/javascript"
    assert script.headers["cross-origin-resource-policy"] == "cross-origin"
    assert script.headers["cache-control"] == "public, max-age=3600"
