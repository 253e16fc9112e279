"""The integrator's REST API: links, the state of a company, log-out, messages. Errors are RFC 9457 problem JSON."""

from typing import TypeVar

import structlog
from arq.connections import ArqRedis
from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.access import Access
from app.api import links
from app.api.models import CompanyView, LinkView, MessageView, NewLink, NewMessage
from app.http import problems
from app.http.border import Border
from app.http.operations import (
    COMPANIES,
    COMPANY_ID,
    IDEMPOTENCY_KEY,
    LINK_ID,
    LINKS,
    MESSAGES,
    Answer,
    Operation,
)
from app.http.problems import MAX_BODY_BYTES, Problem
from shared.core import keys, phone
from shared.core.failures import Refused
from shared.core.ids import CompanyId, SessionId, company_id, session_of
from shared.core.lifecycle import DEVICE, State
from shared.jobs.queue import enqueue, link_job_id
from shared.settings import Settings
from shared.state.lease import Leases
from shared.state.outbox import KeyReused, Message, Outbox, OutboxFull
from shared.state.snapshots import Snapshots

log = structlog.get_logger()

T = TypeVar("T", bound=BaseModel)


class Api:
    """The routes, over one Redis."""

    def __init__(
        self,
        settings: Settings,
        redis: ArqRedis,
        border: Border,
        access: Access,
        snapshots: Snapshots,
        leases: Leases,
        outbox: Outbox,
    ) -> None:
        self._settings = settings
        self._border = border
        self._redis = redis
        self._access = access
        self._snapshots = snapshots
        self._leases = leases
        self._outbox = outbox

    def routes(self) -> list[Route]:
        """Everything below `/api/v1`."""
        return [self._border.route(one, self) for one in OPERATIONS]

    async def create_link(self, request: Request) -> Response:
        """A new link for a company."""
        asked = await _body(request, NewLink)
        try:
            link, view = links.made(self._access, self._settings, asked)
        except links.TooLong as error:
            raise Problem(problems.NOT_UNDERSTOOD, f"{error.field}: {error}", field=error.field) from None
        except Refused as refused:
            raise Problem(problems.NOT_A_PHONE, code=refused.code, field=refused.field) from None
        log.info("link.created", session=link.session, link=link.id)
        return JSONResponse(view.model_dump(by_alias=True), 201)

    async def revoke_link(self, request: Request) -> Response:
        """Make a link useless at once."""
        link_id = request.path_params["id"]
        if not LINK_ID.fits(link_id):
            raise Problem(problems.NO_LINK)
        await self._access.revoke(link_id)
        return Response(status_code=204)

    async def company(self, request: Request) -> Response:
        """The present snapshot of the company's session, without what only the owner may see."""
        stored = await self._snapshots.read(session_of(_company(request)))
        place = None
        if stored.body.state is State.QUEUED:
            place = await self._redis.zrank(keys.QUEUE_LINKING, link_job_id(stored.session, stored.attempt))
        snapshot = stored.snapshot(queue_position=place)
        view = CompanyView.model_validate(snapshot.model_dump(exclude={"qr", "code"}))
        return JSONResponse(view.model_dump(mode="json", by_alias=True, exclude_none=True))

    async def unlink(self, request: Request) -> Response:
        """Log the device out at WhatsApp and forget it. Idempotent."""
        session = session_of(_company(request))
        owner = await self._leases.owner(session)
        queue = keys.queue_worker(owner) if owner else keys.QUEUE_SESSIONS
        await enqueue(self._redis, queue, "unlink", session, job_id=f"unlink:{session}")
        return Response(status_code=202)

    async def send(self, request: Request) -> Response:
        """Send a text through the company's WhatsApp."""
        session = session_of(_company(request))
        asked = await _body(request, NewMessage)
        number = _number(asked.to, self._settings.default_region, "to")
        key = IDEMPOTENCY_KEY.of(request)
        if (await self._snapshots.read(session)).body.state not in DEVICE:
            raise Problem(problems.NOT_LINKED)
        owner = await self._leases.owner(session)  # nobody for the moment of a hand-over: the job follows its session
        queue = keys.queue_worker(owner) if owner else keys.QUEUE_SESSIONS
        message = await self._kept(session, Message(number, asked.text), key)
        # Also when it was asked for before: who asked may have died before this line. Nothing is sent twice.
        await enqueue(self._redis, queue, "send", session, message, job_id=f"send:{message}")
        return JSONResponse(MessageView(id=message).model_dump(by_alias=True), 202)

    async def _kept(self, session: SessionId, message: Message, key: str | None) -> str:
        try:
            return await self._outbox.accept(session, message, key)
        except KeyReused:
            raise Problem(problems.KEY_REUSED) from None
        except OutboxFull as full:
            raise Problem(problems.OUTBOX_FULL, retry_after=full.seconds) from None


_BODY = (problems.TOO_LARGE, problems.NOT_UNDERSTOOD)

OPERATIONS: tuple[Operation[Api], ...] = (
    Operation(
        "POST",
        "/api/v1/links",
        Api.create_link,
        "Create a link with which a company's owner links its WhatsApp.",
        (Answer(201, "The link.", LinkView),),
        (*_BODY, problems.NOT_A_PHONE),
        body=NewLink,
        scopes=LINKS,
    ),
    Operation(
        "DELETE",
        "/api/v1/links/{id}",
        Api.revoke_link,
        "Make a link useless at once. Idempotent.",
        (Answer(204, "It opens nothing any more."),),
        (problems.NO_LINK, problems.AWAY),
        id=LINK_ID,
        scopes=LINKS,
    ),
    Operation(
        "GET",
        "/api/v1/companies/{id}",
        Api.company,
        "Tell where a company's session stands; `unlinked` for one that was never heard of.",
        (Answer(200, "The present state.", CompanyView),),
        (problems.NO_COMPANY, problems.AWAY),
        id=COMPANY_ID,
        scopes=LINKS | COMPANIES | MESSAGES,
    ),
    Operation(
        "DELETE",
        "/api/v1/companies/{id}/session",
        Api.unlink,
        "Log the company's device out at WhatsApp and forget it. Idempotent.",
        (Answer(202, "It will be done; the webhook `session.unlinked` says when."),),
        (problems.NO_COMPANY, problems.AWAY),
        id=COMPANY_ID,
        scopes=COMPANIES,
    ),
    Operation(
        "POST",
        "/api/v1/companies/{id}/messages",
        Api.send,
        "Send a text through the company's WhatsApp.",
        (Answer(202, "It is on its way.", MessageView),),
        (
            problems.NO_COMPANY,
            *_BODY,
            problems.NOT_A_PHONE,
            problems.KEY_REUSED,
            problems.NOT_LINKED,
            problems.OUTBOX_FULL,
            problems.AWAY,
        ),
        id=COMPANY_ID,
        body=NewMessage,
        headers=(IDEMPOTENCY_KEY,),
        scopes=MESSAGES,
    ),
)
"""Everything below `/api/v1` that is the integrator's, as it is routed and as it is described."""


async def _body(request: Request, model: type[T]) -> T:
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > MAX_BODY_BYTES:
            raise Problem(problems.TOO_LARGE)
    try:
        return model.model_validate_json(bytes(raw))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise Problem(problems.NOT_UNDERSTOOD, f"{where or 'body'}: {first['msg']}", field=where) from None


def _company(request: Request) -> CompanyId:
    try:
        return company_id(request.path_params["id"])
    except ValueError:
        raise Problem(problems.NO_COMPANY) from None


def _number(text: str, region: str, field: str) -> str:
    try:
        return phone.recipient(text, region)
    except Refused as refused:
        raise Problem(problems.NOT_A_PHONE, code=refused.code, field=field) from None
