"""A server that serves the page as the product does, and on its socket says what a test tells it to say."""

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import uvicorn.server
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from app.http.policy import SecurityHeaders
from app.page.assets import Assets
from app.page.look import Platform

PATIENCE_SECONDS = 10.0
PROFILE = {
    "company": "Salon “Aurora”",
    "platform": "Bookwell",
    "locale": None,
    "region": "RU",
    "returnUrl": "https://bookwell.example/settings",
    "deviceName": "Bookwell",
    "phoneHint": None,
    "spent": False,
    "linkRegion": "RU",
    "refreshUrl": None,
    "supportUrl": None,
    "privacyUrl": None,
}
PLATFORM = Platform("Bookwell", "Bookwell")

Json = dict[str, Any]

GONE = (WebSocketDisconnect, RuntimeError)
"""What a socket raises whose browser has left, or that was closed already."""


def now() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


@dataclass
class Script:
    """What the server says and has heard; `url` is the page's address.

    The snapshot is kept: who connects gets it, as from the real server.
    """

    url: str = ""
    snapshot: Json = field(default_factory=dict)
    profile: Json = field(default_factory=dict)
    platform: Platform = PLATFORM
    heard: list[Json] = field(default_factory=list)
    refusing: int | None = None
    silent: bool = False
    forbidding: bool = False
    dead: bool = False
    opened: int = 0
    _era: int = 0
    _sockets: set[WebSocket] = field(default_factory=set)
    _news: threading.Condition = field(default_factory=threading.Condition)
    _loop: asyncio.AbstractEventLoop | None = None

    def reset(self) -> None:
        """As before the first test. What sockets of before still say is not heard."""
        self.cut(1001)
        self._era += 1
        self.snapshot = {"state": "unlinked", "sessionId": "company_aurora", "attempt": 0, "seq": 0}
        self.profile = dict(PROFILE)
        self.platform = PLATFORM
        self.heard = []
        self.refusing = None
        self.silent = False
        self.forbidding = False
        self.dead = False
        self.opened = 0

    # --- told by the test

    def become(self, state: str, kind: str = "status", **parts: Any) -> None:
        """The next snapshot, to all who are there. `attempt` may be given; `seq` counts by itself."""
        attempt = parts.pop("attempt", self.snapshot["attempt"])
        self.snapshot = {
            "state": state,
            "sessionId": "company_aurora",
            "attempt": attempt,
            "seq": self.snapshot["seq"] + 1,
            **parts,
        }
        self.say({"type": kind, "snapshot": self._stamped()})

    def repeat(self) -> None:
        """The same snapshot once more, as for a command that changes nothing."""
        self.say({"type": "status", "snapshot": self._stamped()})

    def refuse(self, code: str, *, field: str | None = None, retry_at: int | None = None) -> None:
        """Refuse the last command."""
        self.say({"type": "error", "error": {"code": code, "field": field, "retryAt": retry_at}})

    def say(self, message: Json) -> None:
        """A message to all who are there."""

        async def send() -> None:
            for one in list(self._sockets):
                with contextlib.suppress(*GONE):
                    await one.send_text(json.dumps(message))

        self._run(send)

    def cut(self, code: int) -> None:
        """Close every socket."""

        async def close() -> None:
            for one in list(self._sockets):
                self._sockets.discard(one)
                with contextlib.suppress(*GONE):
                    await one.close(code)

        self._run(close)

    # --- asked by the test

    def commands(self) -> list[Json]:
        """What browsers have sent, without the hellos."""
        return [message for message in self.heard if message["type"] != "hello"]

    def wait(self, ready: Callable[[], bool], what: str = "what was waited for") -> None:
        """Until `ready`, looked at after every message and every new socket."""
        with self._news:
            assert self._news.wait_for(ready, PATIENCE_SECONDS), f"{what} did not come; heard {self.heard}"

    def wait_command(self, kind: str, count: int = 1) -> Json:
        """The `count`th command of this kind."""

        def of_kind() -> list[Json]:
            return [message for message in self.heard if message["type"] == kind]

        self.wait(lambda: len(of_kind()) >= count, f"{kind} number {count}")
        return of_kind()[count - 1]

    def wait_open(self, count: int) -> None:
        """Until that many sockets have been opened and said hello."""
        self.wait(lambda: self.opened >= count, f"socket number {count}")

    # --- the server's side

    def _run(self, job: Callable[[], Any]) -> None:
        if self._loop is not None:
            asyncio.run_coroutine_threadsafe(job(), self._loop).result(PATIENCE_SECONDS)

    def _stamped(self) -> Json:
        return {**self.snapshot, "serverNow": now()}

    async def serve(self, ws: WebSocket) -> None:
        """One socket's life."""
        self._loop, era = asyncio.get_running_loop(), self._era
        if self.forbidding:  # before it is accepted: HTTP 403, as for a foreign origin
            await ws.close()
            return
        await ws.accept()
        if self.refusing is not None:
            await ws.close(self.refusing)
            return
        try:
            while True:
                message = json.loads(await ws.receive_text())
                if era != self._era:
                    await ws.close(1001)
                    return
                if self.dead:  # as for a link whose time is over: it says whose it was, and closes
                    error = {"type": "error", "error": {"code": "link-spent"}, "profile": self.profile}
                    await ws.send_text(json.dumps(error))
                    await ws.close(4401)
                    return
                if message["type"] == "hello" and not self.silent:
                    answer = {"type": "status", "snapshot": self._stamped(), "profile": self.profile}
                    await ws.send_text(json.dumps(answer))
                    self._sockets.add(ws)
                with self._news:
                    self.heard.append(message)
                    self.opened += message["type"] == "hello"
                    self._news.notify_all()
        except GONE:
            pass
        finally:
            self._sockets.discard(ws)


@contextlib.contextmanager
def running() -> Iterator[Script]:
    """A server on a free port, in a thread of its own."""
    script = Script()
    assets = Assets(platform_of=lambda _request: script.platform, gallery=True, fresh=False)
    app = Starlette(
        routes=[WebSocketRoute("/ws/v1", script.serve), *assets.routes()],
        middleware=[Middleware(SecurityHeaders, only_https=False)],
    )
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()  # who comes before uvicorn has started waits for it
    server = uvicorn.server.Server(
        uvicorn.Config(app, log_config=None, log_level="error", ws="websockets-sansio", timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    script.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    script.reset()
    try:
        yield script
    finally:
        server.should_exit = True
        thread.join(PATIENCE_SECONDS)
        listener.close()
