"""The integrator's links: made, looked at, revoked."""

from dataclasses import replace

import structlog
from redis.asyncio import Redis
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.access import Access, Link
from app.api import links
from app.api.models import LinkState, LinkStatus, LinkView, NewLink
from app.http import problems
from app.http.body import read_body
from app.http.border import Border
from app.http.operations import IDEMPOTENCY_KEY, LINK_ID, LINKS, Answer, Operation
from app.http.problems import Problem
from app.onboarding import Endings
from shared.core.clock import now_ms
from shared.core.failures import Refused
from shared.settings import Settings
from shared.state.claims import REVOKED
from shared.state.links import LinkBook, MadeLink
from shared.state.once import KeyOfAnother, Once

log = structlog.get_logger()


class LinkRoutes:
    """Handlers below `/api/v1/links`."""

    def __init__(self, settings: Settings, redis: Redis, border: Border, access: Access, endings: Endings) -> None:
        self._settings = settings
        self._border = border
        self._access = access
        self._endings = endings
        self._book = LinkBook(redis)
        self._once = Once(redis)

    def routes(self) -> list[Route]:
        """The routes, for the application."""
        return [self._border.route(one, self) for one in OPERATIONS]

    async def create_link(self, request: Request) -> Response:
        """A new link for a company; under an Idempotency-Key, the same link again."""
        asked = await read_body(request, NewLink)
        key = IDEMPOTENCY_KEY.of(request)
        try:
            link = links.make_link(self._access, self._settings, asked)
        except links.Unfit as unfit:
            raise Problem(problems.NOT_UNDERSTOOD, f"{unfit.field}: {unfit}", field=unfit.field) from None
        except Refused as refused:
            raise Problem(problems.NOT_A_PHONE, code=refused.code, field=refused.field) from None
        if key is not None:
            link = await self._made_under(f"{request.state.key.name}:links", key, asked, link)
        await self._book.write(MadeLink(link.id, link.company, link.expires_at))
        log.info("link.created", session=link.session, link=link.id)
        view = links.show_link(self._access, self._settings, link)
        return JSONResponse(view.model_dump(by_alias=True), 201, {"location": f"/api/v1/links/{link.id}"})

    async def _made_under(self, whose: str, key: str, asked: NewLink, link: Link) -> Link:
        # The token is signed anew: none is kept.
        fresh = {"id": link.id, "expiresAt": link.expires_at}
        try:
            made = await self._once.first(whose, key, asked.model_dump_json().encode(), fresh)
        except KeyOfAnother:
            raise Problem(problems.KEY_REUSED) from None
        return replace(link, id=made["id"], expires_at=made["expiresAt"])

    async def link(self, request: Request) -> Response:
        """Report the state of a link."""
        made = await self._book.read(_id(request))
        if made is None:
            raise Problem(problems.NO_LINK)
        view = LinkStatus(
            id=made.id, company_id=made.company, state=await self._state(made), expires_at=made.expires_at
        )
        return JSONResponse(view.model_dump(by_alias=True))

    async def _state(self, made: MadeLink) -> LinkState:
        standing = await self._access.standing(made.id)
        if standing is not None:
            return LinkState.REVOKED if standing == REVOKED else LinkState.SPENT
        if await self._book.begun_by(made.session) == made.id:
            return LinkState.RUNNING  # also past the link's own time: the attempt goes on
        return LinkState.OPEN if made.expires_at > now_ms() else LinkState.EXPIRED

    async def revoke_link(self, request: Request) -> Response:
        """Make a link useless at once, and end the attempt that it began."""
        await self._endings.revoke_link(_id(request))
        return Response(status_code=204)


def _id(request: Request) -> str:
    link_id: str = request.path_params["id"]
    if not LINK_ID.fits(link_id):
        raise Problem(problems.NO_LINK)
    return link_id


OPERATIONS: tuple[Operation[LinkRoutes], ...] = (
    Operation(
        "POST",
        "/api/v1/links",
        LinkRoutes.create_link,
        "Create a link with which a company's owner links its WhatsApp.",
        (Answer(201, "The link.", LinkView),),
        (problems.TOO_LARGE, problems.NOT_UNDERSTOOD, problems.NOT_A_PHONE, problems.KEY_REUSED, problems.AWAY),
        body=NewLink,
        headers=(IDEMPOTENCY_KEY,),
        scopes=LINKS,
    ),
    Operation(
        "GET",
        "/api/v1/links/{id}",
        LinkRoutes.link,
        "Tell where a link stands, until a month after its end.",
        (Answer(200, "The link, without its token.", LinkStatus),),
        (problems.NO_LINK, problems.AWAY),
        id=LINK_ID,
        scopes=LINKS,
    ),
    Operation(
        "DELETE",
        "/api/v1/links/{id}",
        LinkRoutes.revoke_link,
        "Make a link useless at once, and end the attempt that it began, unless its phone is linked already. Idempotent.",
        (Answer(204, "It opens nothing any more."),),
        (problems.NO_LINK, problems.AWAY),
        id=LINK_ID,
        scopes=LINKS,
    ),
)
