"""Links: the signed token that opens the page for an owner, and the record by which each is known."""

import secrets
from typing import Any

import jwt

from shared.core import keys, odd
from shared.core.clock import now_ms
from shared.core.datum import Datum, asdict
from shared.core.ids import CompanyId, SessionId, company_id, session_of
from shared.settings import Settings
from shared.state.pool import OverRedis, answer

_ALGORITHM = "HS256"
_PURPOSE = "whatsapp-link"
_LOOK = "whatsapp-look"


class BadToken(Exception):
    """The token is not ours, or has expired."""


class DeadLink(BadToken):
    """The token is ours and has expired. It opens nothing, and still names its link."""

    def __init__(self, link: "Link") -> None:
        super().__init__()
        self.link = link


class PageLook(Datum):
    """Look of a link's page, where it differs from the service's own look, and the origin that may frame the page. Web needs it
    before the hello."""

    name: str | None = None
    accent: str | None = None
    logo_url: str | None = None
    support_url: str | None = None
    privacy_url: str | None = None
    embed_origin: str | None = None


PLAIN = PageLook()
"""The service's own look."""


class Link(Datum):
    """Contents of a link: its company, its end (ms since the epoch), and how its page begins."""

    id: str
    company: CompanyId
    expires_at: int
    company_name: str = ""
    phone: str | None = None
    locale: str | None = None
    return_url: str | None = None
    refresh_url: str | None = None
    region: str | None = None
    look: PageLook = PLAIN

    @property
    def session(self) -> SessionId:
        return session_of(self.company)


_CLAIMS = {
    "id": "jti",
    "company": "sub",
    "company_name": "name",
    "phone": "phone",
    "locale": "locale",
    "return_url": "return",
    "refresh_url": "refresh",
    "region": "region",
}
"""Names of a link's fields in its token, but for its end and its look."""


class Access:
    def __init__(self, settings: Settings) -> None:
        self._secret = settings.secret_key.get_secret_value()

    def new_link(self, company: CompanyId, *, ttl_seconds: int, company_name: str, **about: Any) -> Link:
        """A link that nobody has seen yet; `about`: its optional contents."""
        expires_at = (now_ms() // 1000 + ttl_seconds) * 1000
        return Link(secrets.token_urlsafe(12), company, expires_at, company_name, **about)

    def sign(self, link: Link) -> str:
        """The link's token. It goes into the URL's fragment, which browsers send to nobody."""
        said = {claim: getattr(link, name) for name, claim in _CLAIMS.items()}
        return self._encode({"aud": _PURPOSE, "exp": link.expires_at // 1000, **said, **_said_of(link.look)})

    def sign_look(self, look: PageLook) -> str:
        """The signed look, for the link's address: the server does not see the token. It is no secret and never expires, so
        a dead link still shows its brand. The signature keeps others from dressing our page as somebody else's."""
        return self._encode({"aud": _LOOK, **_said_of(look)})

    def read_look(self, text: str) -> PageLook | None:
        """The look that `sign_look` has signed; None for anything else."""
        try:
            return _look_in(jwt.decode(text, self._secret, [_ALGORITHM], audience=_LOOK))
        except (jwt.InvalidTokenError, ValueError, TypeError, AttributeError):
            return None

    def _encode(self, claims: dict[str, Any]) -> str:
        return jwt.encode({k: v for k, v in claims.items() if v is not None}, self._secret, _ALGORITHM)

    def verify(self, token: str) -> Link:
        """The link behind a token. Raises `BadToken`, and of that `DeadLink` for one whose time is over."""
        try:
            claims = jwt.decode(
                token,
                self._secret,
                [_ALGORITHM],
                audience=_PURPOSE,
                options={"require": ["exp", "jti", "sub", "name"], "verify_exp": False},
            )
            said: dict[str, Any] = {name: claims.get(claim) for name, claim in _CLAIMS.items()}
            link = Link(
                **said | {"company": company_id(claims["sub"])},
                expires_at=int(claims["exp"]) * 1000,
                look=_look_in(claims),
            )
        except (jwt.InvalidTokenError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadToken from error
        if link.expires_at <= now_ms():
            raise DeadLink(link)
        return link


def _said_of(look: PageLook) -> dict[str, Any]:
    brand = {name: value for name, value in asdict(look).items() if value}
    return {"embed": brand.pop("embed_origin", None), "brand": brand or None}


def _look_in(claims: dict[str, Any]) -> PageLook:
    brand = {name: value for name, value in claims.get("brand", {}).items() if name in PageLook.__struct_fields__}
    return PageLook(**brand | {"embed_origin": claims.get("embed")})


class LinkBook(OverRedis):
    """The record of links, over one Redis: whose each is, and until when, so that its id alone tells how it stands."""

    async def write(self, link: Link) -> None:
        """Keep the record until a month after the link's end. Idempotent."""
        told, left = {"company": link.company, "expiresAt": link.expires_at}, max(link.expires_at - now_ms(), 0)
        await self._keep(keys.made_link(link.id), told, left + keys.LINK_RECORD_TTL)

    async def read(self, link_id: str) -> Link | None:
        """The link as far as it is on record; None for an id of which nothing is known."""
        company, expires_at = await answer(self._redis.hmget(keys.made_link(link_id), ["company", "expiresAt"]))
        try:
            until = odd.number(expires_at)
            return Link(link_id, company_id(odd.text(company)), until) if until else None
        except ValueError:  # written by somebody else
            return None
