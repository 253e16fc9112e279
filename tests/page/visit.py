"""A visit to the page as its owner pays for it: what travels until the QR is on the screen, and how far things move meanwhile.
Of the real web process, with the test as the worker that shows a QR."""

import base64
import random
from dataclasses import dataclass
from typing import Any

from playwright.async_api import BrowserContext, CDPSession, Page

from shared.core import qr
from shared.core.clock import now_ms
from shared.core.lifecycle import State
from shared.core.protocol import Method, QrView
from tests.integration.web import Web
from tests.unit.world import ONE, SESSION, World, change

#: The bars of B16.
REQUESTS, BYTES = 6, 30 * 1024
REQUESTS_AGAIN, BYTES_AGAIN = 2, 8 * 1024
MOST_SHIFT = 0.02

#: As long as WhatsApp's longest: the server's ref, three keys and the platform.
REF, *KEYS = (base64.b64encode(random.Random(size).randbytes(size)).decode() for size in (120, 32, 32, 32))
QR_TEXT = f"https://wa.me/settings/linked_devices#2@{REF},{','.join(KEYS)},1"

#: Sums up layout shifts in `shift`, and tells in `shifted` what moved.
WATCH = """(() => {
    window.shift = 0;
    window.shifted = [];
    new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) {
            if (entry.hadRecentInput) continue;
            window.shift += entry.value;
            for (const {node, previousRect, currentRect} of entry.sources)
                window.shifted.push(`${entry.value.toFixed(4)} ${node?.outerHTML?.slice(0, 90) ?? node?.textContent}
                    ${JSON.stringify(previousRect)} ${JSON.stringify(currentRect)}`);
        }
    }).observe({type: "layout-shift", buffered: true});
})()"""


def far_away(latency: int) -> dict[str, Any]:
    """Conditions of a slow line, `latency` in ms, for Network.emulateNetworkConditions."""
    return {"offline": False, "latency": latency, "downloadThroughput": 200_000, "uploadThroughput": 100_000}


class Meter:
    """Count of what a tab receives, by Chromium: bodies as they travelled, with their headers."""

    def __init__(self, session: CDPSession) -> None:
        self.files: dict[str, float] = {}
        self.cached: set[str] = set()
        self.urls: dict[str, str] = {}
        self.frames: list[int] = []
        self.shook = 0
        session.on("Network.requestWillBeSent", self._request)
        session.on("Network.requestServedFromCache", lambda e: self.cached.add(e["requestId"]))
        session.on("Network.responseReceived", self._response)
        session.on("Network.loadingFinished", self._file)
        session.on("Network.webSocketHandshakeResponseReceived", self._handshake)
        session.on("Network.webSocketFrameReceived", self._frame)

    def _request(self, event: dict[str, Any]) -> None:
        self.urls.setdefault(event["requestId"], event["request"]["url"][:80])

    def _response(self, event: dict[str, Any]) -> None:
        if event["response"].get("fromDiskCache"):
            self.cached.add(event["requestId"])

    def _file(self, event: dict[str, Any]) -> None:
        if event["requestId"] in self.cached:
            return
        if (url := self.urls[event["requestId"]]).startswith("http"):
            self.files[url] = event["encodedDataLength"]

    def _handshake(self, event: dict[str, Any]) -> None:
        self.shook = len(event["response"]["headersText"])

    def _frame(self, event: dict[str, Any]) -> None:
        text, opcode = event["response"]["payloadData"], event["response"]["opcode"]
        size = len(base64.b64decode(text)) if opcode == 2 else len(text.encode())
        self.frames.append(size + (2 if size < 126 else 4))

    @property
    def requests(self) -> int:
        """Those that travelled, and the websocket."""
        return len(self.files) + 1

    @property
    def total(self) -> float:
        """Bytes."""
        return sum(self.files.values()) + self.shook + sum(self.frames)

    def __str__(self) -> str:
        files = "\n".join(f"{int(size):6} {url}" for url, size in self.files.items())
        return (
            f"{files}\n{sum(self.files.values()):.0f} in {len(self.files)} files, {self.shook} for the socket, "
            f"{sum(self.frames)} in its messages {self.frames}: {self.total:.0f}, {self.requests} requests"
        )


@dataclass(frozen=True, slots=True)
class Visit:
    """A tab that shows the page, what it took, and what the browser complained of."""

    page: Page
    meter: Meter
    complaints: list[str]

    async def shift(self) -> float:
        """Sum of the layout shifts of which nobody's click was the cause."""
        moved: float = await self.page.evaluate("window.shift")
        return moved


async def visit(context: BrowserContext, web: Web, until: str, *, latency: int = 0, locale: str = "ru") -> Visit:
    """Open the link of `salon-1` in a new tab, and wait for the selector `until`."""
    page = await context.new_page()
    await page.add_init_script(WATCH)
    session = await context.new_cdp_session(page)
    await session.send("Network.enable")
    if latency:
        await session.send("Network.emulateNetworkConditions", far_away(latency))
    opened = Visit(page, Meter(session), [])
    page.on("console", lambda said: opened.complaints.append(said.text))
    page.on("pageerror", lambda error: opened.complaints.append(str(error)))
    page.on("requestfailed", lambda request: opened.complaints.append(f"failed: {request.url}"))
    await page.goto(f"{web.url}/link#{web.access.sign(web.link('salon-1', locale=locale))}")
    await page.wait_for_selector(until)
    return opened


async def visit_until_qr(context: BrowserContext, web: Web, world: World, **options: Any) -> Visit:
    """Open the link as an owner at a desktop does, and be the worker who shows a QR."""
    opened = await visit(context, web, "main[data-state=queued]", **options)
    asked = await world.ask()  # joins what the page has asked for
    lease = await world.leases.acquire(SESSION, ONE, attempt=asked.attempt)
    assert lease is not None
    deadline = now_ms() + 160_000
    await world.snapshots.save(lease, change(State.CONNECTING, method=Method.QR, deadline=deadline))
    await opened.page.wait_for_selector("main[data-state=connecting]")
    shown = QrView(text=QR_TEXT, svg=qr.svg(QR_TEXT), number=1, of=qr.COUNT, expires_at=now_ms() + 60_000)
    await world.snapshots.save(lease, change(State.AWAITING_PHONE, method=Method.QR, deadline=deadline, qr=shown))
    await shows_qr(opened)
    return opened


async def visit_again(context: BrowserContext, web: Web) -> Visit:
    """Open another tab of the same browser, on the same session, whose QR still lives."""
    opened = await visit(context, web, "[data-testid=qr]:visible")
    await shows_qr(opened)
    return opened


async def shows_qr(opened: Visit) -> None:
    """Wait until the QR is on the screen and nothing travels."""
    await opened.page.wait_for_selector("[data-testid=qr]:visible")
    await opened.page.wait_for_function("document.querySelector('[data-testid=qr]').naturalWidth > 0")
    await opened.page.wait_for_load_state("networkidle")
