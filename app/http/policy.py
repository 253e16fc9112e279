"""Rules for the documents that we serve: what they may load, and who may frame them; as headers for browsers."""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_NO_GUESSING = {"x-content-type-options": "nosniff"}


def content_policy(*, pictures: str = "", style: str = "", framed_by: str = "'none'") -> str:
    """The Content-Security-Policy of a document. `pictures` and `style` are sources beside our own; `framed_by` is the
    origin whose pages may show it in a frame."""
    return (
        f"default-src 'none'; script-src 'self'; style-src 'self'{style and ' ' + style}; "
        f"img-src 'self' data:{pictures and ' ' + pictures}; connect-src 'self'; "
        f"base-uri 'none'; form-action 'none'; frame-ancestors {framed_by}"
    )


_DOCUMENT = {
    "content-security-policy": content_policy(),
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}


class SecurityHeaders:
    """Puts the security headers on every document, unless its route has set others. Modules and answers of the API
    get `nosniff` alone, by which no browser takes them for documents."""

    def __init__(self, app: ASGIApp, *, only_https: bool) -> None:
        self._app = app
        self._document = dict(_DOCUMENT)
        if only_https:  # a browser must not go back to http, where somebody could replace the page
            self._document["strict-transport-security"] = "max-age=31536000"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                is_document = headers.get("content-type", "").startswith("text/html")
                for name, value in (_NO_GUESSING | self._document if is_document else _NO_GUESSING).items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)
