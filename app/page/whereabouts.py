"""The page under an address that is not ours: the browser is sent to `PUBLIC_URL`, because its websocket would be
refused here, and a browser is not told why."""

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


def elsewhere(config: Settings, request: Request) -> RedirectResponse | None:
    """Send a browser that has come by another address to `PUBLIC_URL`. None if it is at home, or there is no such setting."""
    at = request.url
    if not config.public_url or f"{at.scheme}://{at.netloc}" in config.origins or MARK in request.query_params:
        return None
    # 308 keeps the fragment with the token, which no server sees. As settings change, nobody may cache it.
    told = urlencode({name: value for name in TOLD if (value := request.query_params.get(name))})
    home = f"{config.base_url}/link?{MARK}{told and '&' + told}"
    return RedirectResponse(home, 308, {"cache-control": "no-store"})
