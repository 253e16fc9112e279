"""The integrator's links: made, looked at, revoked."""

from dataclasses import replace

from redis.asyncio import Redis
from starlette.requests import Request
from starlette.responses import Response

from app.access import Access, Link, LinkBook
from app.api import links
from app.api.models import LinkState, LinkStatus, LinkView, NewLink
from app.api.repeats import Repeats
from app.http import problems
from app.http.operations import IDEMPOTENCY_KEY, LINKS, Answer, operation, reply
from app.http.problems import Problem
from app.onboarding import Endings
from shared.core.clock import now_ms
from shared.log import log
from shared.settings import Settings
from shared.state.claims import REVOKED


class LinkRoutes:
    def __init__(self, settings: Settings, redis: Redis, access: Access, endings: Endings) -> None:
        self._settings = settings
        self._access = access
        self._endings = endings
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
        link = links.make_link(self._access, self._settings, asked)
        # The token is signed anew, because none is kept.
        made = await self._repeats.first(request, asked, {"id": link.id, "expiresAt": link.expires_at})
        link = replace(link, id=made["id"], expires_at=made["expiresAt"])
        await self._book.write(link)
        log.info("link.created", session=link.session, link=link.id)
        view = links.show_link(self._access, self._settings, link)
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
        standing = await self._access.standing(made.id)
        if standing is not None:
            return LinkState.REVOKED if standing == REVOKED else LinkState.SPENT
        if await self._book.begun_by(made.session) == made.id:
            return LinkState.RUNNING  # even after the link has expired, while the attempt goes on
        return LinkState.OPEN if made.expires_at > now_ms() else LinkState.EXPIRED

    @operation("DELETE", "/api/v1/links/{id}", Answer(204, "It opens nothing any more."), scopes=LINKS)
    async def revoke_link(self, request: Request) -> None:
        """Make a link useless at once, and end the attempt that it began, unless its phone is linked already. Idempotent."""
        await self._endings.revoke_link(request.path_params["id"])
