"""Guard of the control port: callers that may talk to it, and what its page may do."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path

from starlette.responses import PlainTextResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

PAGE = Path(__file__).parents[1] / "phone" / "page"


def _is_loopback(host: str) -> bool:
    name = host.rpartition(":")[0] if re.search(r":\d+$", host) else host
    if name in ("localhost", ""):
        return name == "localhost"
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


_POLICY = (
    "default-src 'self'; img-src 'self' data:; frame-src http://127.0.0.1:* http://localhost:*; "
    "frame-ancestors 'none'; base-uri 'none'"
)


def on_page(response: Response) -> Response:
    """The response with the headers of the phone's page: only its own files run in it, and it frames this machine only."""
    response.headers["Content-Security-Policy"] = _POLICY
    response.headers["Cache-Control"] = "no-store"
    return response


class PhonePage(StaticFiles):
    """The files of the phone's page."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        return on_page(await super().get_response(path, scope))


class LoopbackOnly:
    """Turns away peers, and pages of other sites, that are not of this machine."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = {key.decode().lower(): value.decode("latin-1") for key, value in scope["headers"]}
            peer = (scope.get("client") or ("", 0))[0]
            origin = headers.get("origin", "")
            foreign = bool(origin) and not _is_loopback(origin.partition("://")[2])
            if not _is_loopback(peer) or not _is_loopback(headers.get("host", "")) or foreign:
                await PlainTextResponse("The emulator answers to this machine only.\n", 403)(scope, receive, send)
                return
        await self._app(scope, receive, send)
