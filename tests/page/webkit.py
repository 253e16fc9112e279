"""WebKit, the engine of every iPhone, by WebDriver: Debian's webkit2gtk-driver on a screen of Xvfb's. Playwright drives only builds of
its own, which cannot be had everywhere."""

import contextlib
import glob
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import httpx

from app.local.redis import free_port

PACKAGES = ("WebKitWebDriver", "Xvfb")
BROWSER = "/usr/lib/*/webkit2gtk-4.1/MiniBrowser"
PATIENCE_SECONDS = 10.0
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


def missing() -> str | None:
    """What this machine lacks for it; None if nothing."""
    lacking = [name for name in PACKAGES if shutil.which(name) is None] + (
        [] if glob.glob(BROWSER) else ["MiniBrowser"]
    )
    return ", ".join(lacking) or None


class WebKit:
    """One tab."""

    def __init__(self, session: httpx.Client) -> None:
        self._http = session

    def ask(self, method: str, path: str, **body: Any) -> Any:
        """One command of WebDriver. Raises AssertionError with the driver's words."""
        answer = self._http.request(method, f"{self._http.base_url}{path}", json=body if method == "POST" else None)
        value = answer.json()["value"]
        assert answer.is_success, value
        return value

    def goto(self, url: str) -> None:
        """Open an address."""
        self.ask("POST", "/url", url=url)

    def run(self, script: str, *args: Any) -> Any:
        """Value of a function's body in the page."""
        return self.ask("POST", "/execute/sync", script=script, args=args)

    def until(self, script: str, *args: Any) -> Any:
        """Wait until the expression is true; returns its value."""
        end = time.monotonic() + PATIENCE_SECONDS
        while not (value := self.run(f"return {script}", *args)):
            assert time.monotonic() < end, f"{script} {args}: {self.run('return document.body.innerText')}"
            time.sleep(0.02)
        return value

    def find(self, name: str) -> str:
        """Address of the element with this `data-testid`, once it is to be seen."""
        shown = "[...document.querySelectorAll(`[data-testid=${arguments[0]}]`)].find((one) => one.checkVisibility({visibilityProperty: true}))"
        return f"/element/{self.until(shown, name)[ELEMENT]}"

    def click(self, name: str) -> None:
        """Click it as a pointer does."""
        self.ask("POST", f"{self.find(name)}/click")

    def type(self, name: str, text: str) -> None:
        """Type into it, key by key."""
        self.ask("POST", f"{self.find(name)}/value", text=text)

    def text(self, name: str) -> str:
        """Its words, as they are seen."""
        words: str = self.ask("GET", f"{self.find(name)}/text")
        return words


@contextlib.contextmanager
def running() -> Iterator[WebKit]:
    """A browser of its own, gone with the block."""
    with contextlib.ExitStack() as stack:

        def start(*command: str, **options: Any) -> subprocess.Popen[str]:
            process = subprocess.Popen(command, text=True, stderr=subprocess.DEVNULL, **options)
            stack.callback(_end, process)
            return process

        screen = start(
            "Xvfb", "-displayfd", "1", "-screen", "0", "1280x900x24", "-nolisten", "tcp", stdout=subprocess.PIPE
        )
        assert screen.stdout is not None
        display, port = screen.stdout.readline().strip(), free_port()
        start(
            "WebKitWebDriver", f"--port={port}", env=os.environ | {"DISPLAY": f":{display}"}, stdout=subprocess.DEVNULL
        )
        options = {"binary": glob.glob(BROWSER)[0], "args": ["--automation"]}
        wanted = {"capabilities": {"alwaysMatch": {"webkitgtk:browserOptions": options}}}
        url = f"http://127.0.0.1:{port}/session"
        with httpx.Client(trust_env=False, timeout=30, transport=httpx.HTTPTransport(retries=8)) as http:
            answer = http.post(url, json=wanted)
        assert answer.is_success, answer.text
        session = f"{url}/{answer.json()['value']['sessionId']}"
        browser = WebKit(stack.enter_context(httpx.Client(base_url=session, trust_env=False, timeout=30)))
        stack.callback(browser.ask, "DELETE", "")
        yield browser


def _end(process: subprocess.Popen[str]) -> None:
    with process:
        process.terminate()
