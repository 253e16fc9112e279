"""Waits until the service is ready, asks it for a first link, and shows it; or the page that was given instead."""

import asyncio
import json
import math
import time
import webbrowser
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx

from shared.core.datum import Datum

COMPANY = {"companyId": "demo", "companyName": "Salon Aurora"}
PATIENCE_SECONDS = 30.0
POLL_SECONDS = 0.1


class Greeting(Datum):
    """The greeting of one service. `page`: an address to show instead of a first link, and to open if
    `display` is there; `log`: the file with what the processes say."""

    base: str
    key: str
    folder: Path
    page: str = ""
    log: Path | None = None
    display: bool = False


async def call(base: str, path: str, *, key: str = "", body: object = None) -> tuple[int, bytes]:
    """Status and body of an answer; status 0 when there is none."""
    headers = {"authorization": f"Bearer {key}"} if key else {}
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=10) as client:  # loopback goes through no proxy
            answer = await client.request("POST" if body else "GET", base + path, headers=headers, json=body)
    except httpx.HTTPError:
        return 0, b""
    return answer.status_code, answer.content


async def wait_until_ready(base: str) -> None:
    """Return when /readyz says so. If that takes long, say once what is missing."""
    complains = time.monotonic() + PATIENCE_SECONDS
    while True:
        status, body = await call(base, "/readyz")
        if status == 200:
            return
        if time.monotonic() > complains:
            complains = math.inf
            heard = body.decode(errors="replace").strip() if status else "nothing"
            print(f"Not ready after {PATIENCE_SECONDS:.0f} s; /readyz says: {heard}", flush=True)
        await asyncio.sleep(POLL_SECONDS)


def box(lines: list[str]) -> str:
    """The lines with a frame at their left, where a long link does not break it."""
    return "\n".join(["", "┌" + "─" * 78, *(f"│ {line}".rstrip() for line in lines), "└" + "─" * 78, ""])


def text(link: dict[str, Any], told: Greeting) -> str:
    return box(
        [
            f"Ready. {COMPANY['companyName']} can link its WhatsApp here:",
            "",
            f"  {link['url']}",
            "",
            f"API       {told.base}/api/v1 (docs/api.md; settings: docs/environment.md; where to begin: README.md)",
            f"Keys      {told.folder}/secrets.json, unless API_KEYS was set",
            "Stop      Ctrl-C",
        ]
    )


def open_page(url: str) -> None:
    """Open it in a browser with a window. One in the terminal would take that over."""
    with suppress(webbrowser.Error):
        browser = webbrowser.get()
        if type(browser) is not webbrowser.GenericBrowser:
            browser.open(url)


async def greet(told: Greeting) -> None:
    """Wait until the service is ready, then show a first link, or the page."""
    await wait_until_ready(told.base)
    if told.page:
        log = [f"Log   {told.log}"] if told.log else []
        print(box(["Ready. All of it is one page:", "", f"  {told.page}", "", *log, "Stop  Ctrl-C"]), flush=True)
        if told.display:
            await asyncio.to_thread(open_page, told.page)
        return
    status, body = await call(told.base, "/api/v1/links", key=told.key, body=COMPANY)
    if status == 201:
        print(text(json.loads(body), told), flush=True)
    else:
        print(f"The first link could not be made: {status} {body.decode(errors='replace')}", flush=True)
