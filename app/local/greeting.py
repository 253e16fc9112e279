"""Waits until the service is ready, asks it for a first link, and shows it; or the page that was given instead. A process
beside `app.local`, which tells it on stdin where the service is: it prints one box and is done."""

import http.client
import json
import sys
import time
import urllib.error
import urllib.request
import webbrowser
from contextlib import suppress
from typing import Any, NamedTuple

COMPANY = {"companyId": "demo", "companyName": "Salon Aurora"}
PATIENCE_SECONDS = 30.0
POLL_SECONDS = 0.1


class Launched(NamedTuple):
    """Message of `app.local`. `page`: an address to show instead of a first link, and to open if `display` is there;
    `log`: the file with what the processes say; both may be empty."""

    base: str
    key: str
    folder: str
    page: str = ""
    log: str = ""
    display: bool = False


def call(base: str, path: str, *, key: str | None = None, body: object = None) -> tuple[int, bytes]:
    """Status and body of an answer; status 0 when there is none."""
    request = urllib.request.Request(  # noqa: S310 - our own address
        base + path,
        data=None if body is None else json.dumps(body).encode(),
        headers={"content-type": "application/json"},
    )
    if key:
        request.add_header("authorization", f"Bearer {key}")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback goes through no proxy
    try:
        with opener.open(request, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
    except (OSError, http.client.HTTPException):
        return 0, b""


def wait_until_ready(base: str) -> None:
    """Returns when /readyz says so. Says once what is missing when it takes long."""
    complained = False
    began = time.monotonic()
    while True:
        status, body = call(base, "/readyz")
        if status == 200:
            return
        if not complained and time.monotonic() - began > PATIENCE_SECONDS:
            complained = True
            heard = body.decode(errors="replace").strip() if status else "nothing"
            sys.stdout.write(f"Not ready after {PATIENCE_SECONDS:.0f} s; /readyz says: {heard}\n")
            sys.stdout.flush()
        time.sleep(POLL_SECONDS)


def box(lines: list[str]) -> str:
    """The lines with a frame at their left, where a long link does not break it."""
    return "\n".join(["", "┌" + "─" * 78, *(f"│ {line}".rstrip() for line in lines), "└" + "─" * 78, "", ""])


def text(link: dict[str, Any], told: Launched) -> str:
    """Greeting with a first link."""
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


def page_text(told: Launched) -> str:
    """Greeting with a page that was given."""
    log = [f"Log   {told.log}"] if told.log else []
    return box(["Ready. All of it is one page:", "", f"  {told.page}", "", *log, "Stop  Ctrl-C"])


def show(text: str) -> None:
    """Print it, whatever the terminal can write."""
    sys.stdout.buffer.write(text.encode(sys.stdout.encoding, errors="replace"))
    sys.stdout.flush()


def open_page(url: str) -> None:
    """Open it in a browser with a window. One in the terminal would take that over."""
    with suppress(webbrowser.Error):
        browser = webbrowser.get()
        if type(browser) is not webbrowser.GenericBrowser:
            browser.open(url)


def main() -> int:
    """Exit code 1 when no link could be had."""
    told = Launched(**json.load(sys.stdin))
    wait_until_ready(told.base)
    if told.page:
        show(page_text(told))
        if told.display:
            open_page(told.page)
        return 0
    status, body = call(told.base, "/api/v1/links", key=told.key, body=COMPANY)
    if status != 201:
        sys.stdout.write(f"The first link could not be made: {status} {body.decode(errors='replace')}\n")
        sys.stdout.flush()
        return 1
    show(text(json.loads(body), told))
    return 0


if __name__ == "__main__":
    sys.exit(main())
