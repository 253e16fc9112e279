"""B16: what the page costs its owner: requests and bytes until the QR is on the screen, on the first visit and on the second; how
far things move on the screen meanwhile; and Lighthouse on the page as a phone opens it.

Of the real web process, as Chromium counts: headers, websocket and its messages are in the bytes. The shift is the worst
of a desktop until its QR and a phone until it can be used, each at 80 and at 400 ms of latency. Lighthouse needs Node; a
line says loudly where there is none.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from playwright.async_api import Browser, async_playwright
from redis.asyncio import Redis

from bench.result import Line
from bench.run import Run
from tests import chromium
from tests.integration.web import Web
from tests.page import lighthouse
from tests.page.conftest import ARGS, DESKTOP, PHONE
from tests.page.visit import (
    BYTES,
    BYTES_AGAIN,
    MOST_SHIFT,
    REQUESTS,
    REQUESTS_AGAIN,
    visit,
    visit_again,
    visit_until_qr,
)
from tests.unit.world import World

LATENCIES_MS = (80, 400)


async def measure(run: Run) -> list[Line]:
    """Weight, shift, scores."""
    executable = chromium.found()
    if executable is None:
        pytest.skip("no Chromium: .ci/chromium gets one")
    with run.redis() as redis, Web.running(redis, run.place() / "web.log", LOG_LEVEL="info") as web:
        async with Redis.from_url(redis) as client, async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=executable, args=ARGS)
            world = World(client)
            weight = await _weight(browser, web, world)
            shift = await _shift(browser, web, world)
            await browser.close()
        run.say("Lighthouse")
        return [*weight, shift, *await _lighthouse(web, executable, run)]


async def _weight(browser: Browser, web: Web, world: World) -> list[Line]:
    async with _fresh(browser, world, DESKTOP, extra_http_headers={"accept-encoding": "br"}) as context:
        first = (await visit_until_qr(context, web, world)).meter
        second = (await visit_again(context, web)).meter
    return [
        Line("first visit: requests until the QR", first.requests, "", bar=REQUESTS),
        Line("first visit: KB until the QR", first.total / 1024, "KB", bar=BYTES / 1024, note="br, in Russian"),
        Line("second visit: requests until the QR", second.requests, "", bar=REQUESTS_AGAIN),
        Line("second visit: KB until the QR", second.total / 1024, "KB", bar=BYTES_AGAIN / 1024),
    ]


async def _shift(browser: Browser, web: Web, world: World) -> Line:
    worst = 0.0
    for latency in LATENCIES_MS:
        async with _fresh(browser, world, DESKTOP) as context:
            worst = max(worst, await (await visit_until_qr(context, web, world, latency=latency)).shift())
        async with _fresh(browser, world, PHONE) as context:
            opened = await visit(context, web, "main[data-link=ready]", latency=latency)
            worst = max(worst, await opened.shift())
    return Line(
        "layout shift, the worst of desktop and phone", worst, "", bar=MOST_SHIFT, samples=2 * len(LATENCIES_MS)
    )


async def _lighthouse(web: Web, executable: str, run: Run) -> list[Line]:
    url = f"{web.url}/link#{web.access.sign(web.link('salon-1'))}"
    try:
        report = await asyncio.to_thread(lighthouse.look, url, executable, run.place())
    except lighthouse.NotRun as missing:
        run.say(str(missing))
        return [Line("Lighthouse, mobile: NOT RUN", 0, "", note=str(missing))]
    return [
        Line(f"Lighthouse, mobile: {name}", score, "", bar=lighthouse.LEAST, at_least=True)
        for name, score in report.scores.items()
    ]


@asynccontextmanager
async def _fresh(browser: Browser, world: World, *options: dict[str, Any], **more: Any) -> AsyncIterator[Any]:
    """A browser that has never been there, and a company that has never been linked."""
    await world.redis.flushall()
    wished: dict[str, Any] = {"locale": "ru-RU"}
    for one in (*options, more):
        wished |= one
    context = await browser.new_context(**wished)
    yield context
    await context.close()
