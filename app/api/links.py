"""Links: made, shown, looked at, revoked. The operators' command makes and shows them by the same functions."""

from urllib.parse import urlencode

from redis.asyncio import Redis
from starlette.requests import Request
from starlette.responses import Response

from app.access import PLAIN, Access, Link, LinkBook, PageLook
from app.api.models import LinkState, LinkStatus, LinkView, NewBrand, NewLink
from app.api.repeats import Repeats
from app.http import problems
from app.http.operations import IDEMPOTENCY_KEY, LINKS, Answer, operation, reply
from app.http.problems import Problem
from app.onboarding import Endings
from shared.core import phone
from shared.core.clock import now_ms
from shared.core.datum import replace
from shared.core.fields import origin_of, url_text
from shared.core.ids import company_id
from shared.core.protocol import MAX_TOKEN_LENGTH
from shared.log import log
from shared.settings import Settings
from shared.state.claims import REVOKED, Claims


class LinkRoutes:
    def __init__(self, settings: Settings, redis: Redis, access: Access, endings: Endings) -> None:
        self._settings = settings
        self._access = access
        self._endings = endings
        self._claims = Claims(redis)
        self._book = LinkBook(redis)
        self._repeats = Repeats(redis, "links")

    @operation(
        "POST",
        "/api/v1/links",
        Answer(201, "The link.", LinkView),
        own=(problems.NOT_A_PHONE,),
        takes=(IDEMPOTENCY_KEY,),
        scopes=LINKS,
    )
    async def create_link(self, request: Request, asked: NewLink) -> Response:
        """Create a link with which a company's owner links its WhatsApp."""
        link = make_link(self._access, self._settings, asked)
        # The token is signed anew, because none is kept.
        made = await self._repeats.first(request, asked, {"id": link.id, "expiresAt": link.expires_at})
        link = replace(link, id=made["id"], expires_at=made["expiresAt"])
        await self._book.write(link)
        log.info("link.created", session=link.session, link=link.id)
        view = show_link(self._access, self._settings, link)
        return reply(view, 201, {"location": f"/api/v1/links/{link.id}"})

    @operation("GET", "/api/v1/links/{id}", Answer(200, "The link, without its token.", LinkStatus), scopes=LINKS)
    async def link(self, request: Request) -> LinkStatus:
        """Tell where a link stands, until a month after its end."""
        made = await self._book.read(request.path_params["id"])
        if made is None:
            raise Problem(problems.NO_LINK)
        state = await self._state(made)
        return LinkStatus(id=made.id, company_id=made.company, state=state, expires_at=made.expires_at)

    async def _state(self, made: Link) -> LinkState:
        (standing,) = await self._claims.standings(made.id)
        if standing:
            return LinkState.REVOKED if standing == REVOKED else LinkState.SPENT
        if await self._claims.begun_by(made.session) == made.id:
            return LinkState.RUNNING  # even after the link has expired, while the attempt goes on
        return LinkState.OPEN if made.expires_at > now_ms() else LinkState.EXPIRED

    @operation("DELETE", "/api/v1/links/{id}", Answer(204, "It opens nothing any more."), scopes=LINKS)
    async def revoke_link(self, request: Request) -> None:
        """Make a link useless at once, and end the attempt that it began, unless its phone is linked already. Idempotent."""
        await self._endings.revoke_link(request.path_params["id"])


def make_link(access: Access, settings: Settings, asked: NewLink) -> Link:
    """A new link. Raises `Problem`, and `Refused` for a text that is no phone number."""
    if asked.embed_origin is not None and asked.embed_origin not in settings.embed_origins:
        raise problems.unfit("embedOrigin", f"{asked.embed_origin} is not one of EMBED_ORIGINS")
    ways = {"returnUrl": asked.return_url, "refreshUrl": asked.refresh_url}
    urls = {field: str(url) for field, url in ways.items() if url is not None}
    for field, url in urls.items():
        if (origin := origin_of(url)) not in settings.ways_back:
            raise problems.unfit(field, f"{origin} is not one of RETURN_ORIGINS")
    region = asked.region or settings.default_region
    link = access.new_link(
        company_id(asked.company_id),
        ttl_seconds=asked.ttl_seconds,
        company_name=asked.company_name or asked.company_id,
        phone=phone.parse(asked.phone_number, region) if asked.phone_number else None,
        locale=asked.locale,
        return_url=url_text(asked.return_url),
        refresh_url=url_text(asked.refresh_url),
        region=asked.region,
        look=_look(asked.brand or NewBrand(), asked.embed_origin),
    )
    if (excess := len(access.sign(link)) - MAX_TOKEN_LENGTH) > 0:  # the page could not send it in its hello
        field = max(urls, key=lambda one: len(urls[one]), default="companyName")
        characters = excess * 3 // 4 + 1  # in base64 four stand for three
        raise problems.unfit(field, f"the link would be too long: shorten it by {characters} characters")
    return link


def show_link(access: Access, settings: Settings, link: Link) -> LinkView:
    token = access.sign(link)
    # The token stays in the fragment, which no server sees. The query has what the first paint needs.
    told = {"lang": link.locale, "look": access.sign_look(link.look) if link.look != PLAIN else None}
    query = urlencode({name: value for name, value in told.items() if value})
    url = f"{settings.base_url}/link{query and '?' + query}#{token}"
    return LinkView(id=link.id, url=url, token=token, expires_at=link.expires_at)


def _look(brand: NewBrand, embed_origin: str | None) -> PageLook:
    logo, support, privacy = map(url_text, (brand.logo_url, brand.support_url, brand.privacy_url))
    return PageLook(brand.name, brand.accent, logo, support, privacy, embed_origin)
