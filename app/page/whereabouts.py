"""The page under an address that is not ours: the browser is sent to `PUBLIC_URL`, because its websocket would be
refused here, and a browser is not told why."""

from collections.abc import Callable
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse

from shared.settings import Settings

#: Put behind the address that we send to. Behind a router that tells us another host than the browser's, every request
#: looks foreign: this one is answered all the same, or the browser would go round for ever.
MARK = "moved"
LANGUAGE = "lang"
LOOK = "look"
TOLD = (LANGUAGE, LOOK)
"""Parameters of a link's address besides its token: its language and its look. They go along."""

Elsewhere = Callable[[Request], RedirectResponse | None]


def elsewhere(config: Settings) -> Elsewhere:
    """Make the function that sends a browser to `PUBLIC_URL`; without one there is nowhere to send it to."""
    origins, home = config.origins, f"{config.base_url}/link?{MARK}" if config.public_url else None

    def look(request: Request) -> RedirectResponse | None:
        at = request.url
        if home is None or f"{at.scheme}://{at.netloc}" in origins or MARK in request.query_params:
            return None
        # 308 keeps the fragment with the token, which no server sees. As settings change, nobody may cache it.
        told = urlencode({name: value for name in TOLD if (value := request.query_params.get(name))})
        return RedirectResponse(f"{home}{told and '&' + told}", 308, {"cache-control": "no-store"})

    return look
