"""The look of a link's page, as its address tells it: read before the token is, and believed only if we have signed it."""

from collections.abc import Callable

from starlette.requests import Request

from app.access import Access, Look
from app.http.policy import content_policy
from app.page.whereabouts import LOOK
from shared.settings import Settings

PLAIN = Look()

LookOf = Callable[[Request], Look]


def look_of(config: Settings, access: Access) -> LookOf:
    """What reads the look of the link that a browser opens; `PLAIN` for none of ours. An origin that is no longer one of
    `EMBED_ORIGINS` may not frame it any more."""

    def read(request: Request) -> Look:
        text = request.query_params.get(LOOK)
        look = access.read_look(text) if text else None
        if look is None:
            return PLAIN
        return look if look.embed_origin in config.embed_origins else Look(look.brand)

    return read


def look_headers(look: Look) -> dict[str, str]:
    """The headers by which the page of a link differs from other documents."""
    if look.embed_origin is None:
        return {}
    # A popup keeps its opener, which it tells how it goes.
    return {
        "content-security-policy": content_policy(framed_by=look.embed_origin),
        "cross-origin-opener-policy": "unsafe-none",
    }
