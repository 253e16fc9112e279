"""Looks of pages, and the origins that may frame them: the service's own look, or the one that the link's address
names. The address is read before the token, and believed only if we have signed it."""

import base64
import hashlib
from functools import cached_property

from starlette.requests import Request

from app.access import PLAIN, Access, PageLook
from app.http.policy import content_policy
from app.page.whereabouts import LOOK
from shared.core.colour import Shades, dark_shades, light_shades
from shared.core.datum import Datum
from shared.core.fields import origin_of, url_text
from shared.settings import Settings

_LOGO = ".logo{border-radius:8px;object-fit:contain}"
#: The frame is as tall as what is in it, so its end may be out of sight.
_FRAMED = ".toast{inset-block:.75rem auto}"


class Platform(Datum, dict=True):  # a place for what is worked out once
    """The platform that a page belongs to: what the page shows of it, and the origin that may frame the page."""

    name: str
    device: str
    support_url: str | None = None
    privacy_url: str | None = None
    accent: str | None = None
    logo_url: str | None = None
    embed_origin: str | None = None

    @classmethod
    def of(cls, config: Settings, look: PageLook = PLAIN) -> "Platform":
        """The platform of a link. What its look leaves out is the service's; but no logo stands beside another's name.
        An origin that is no longer one of `EMBED_ORIGINS` may not frame the page any more."""
        return cls(
            name=look.name or config.shown_name,
            device=config.device_name,
            support_url=look.support_url or url_text(config.support_url),
            privacy_url=look.privacy_url or url_text(config.privacy_url),
            accent=look.accent or config.accent_color,
            logo_url=look.logo_url or (None if look.name else url_text(config.logo_url)),
            embed_origin=look.embed_origin if look.embed_origin in config.embed_origins else None,
        )

    @property
    def initial(self) -> str:
        """Stands for the platform where there is room for one letter."""
        return self.name[:1].upper()

    @cached_property
    def style(self) -> str:
        """CSS that differs from the page's own; empty for none. It stands in the page, so that nothing is drawn in
        another colour first, and its hash in the policy."""
        parts = []
        if self.accent:
            light, dark = _rule(light_shades(self.accent)), _rule(dark_shades(self.accent))
            parts.append(f"{light}@media (prefers-color-scheme:dark){{{dark}}}")
        if self.logo_url:
            parts.append(_LOGO)
        if self.embed_origin:
            parts.append(_FRAMED)
        return "".join(parts)

    @cached_property
    def headers(self) -> dict[str, str]:
        """Headers in which the platform's page differs from other documents."""
        if not self.style:
            return {}
        digest = base64.b64encode(hashlib.sha256(self.style.encode()).digest()).decode()
        policy = content_policy(
            pictures=origin_of(self.logo_url) if self.logo_url else "",
            style=f"'sha256-{digest}'",
            framed_by=self.embed_origin or "'none'",
        )
        # A popup keeps its opener, which it tells how it goes: docs/adr/0020.
        opener = {"cross-origin-opener-policy": "unsafe-none"} if self.embed_origin else {}
        return {"content-security-policy": policy} | opener


def platform_of(config: Settings, access: Access, request: Request) -> Platform:
    """The platform of a page: that of the look in its address, if we have signed it, else the service's own."""
    return Platform.of(config, access.read_look(request.query_params.get(LOOK, "")) or PLAIN)


def _rule(shades: Shades) -> str:
    return (
        f":root{{--accent:{shades.accent};--accent-strong:{shades.strong};"
        f"--on-accent:{shades.words};--note-soft:{shades.notice}}}"
    )
