"""The integrator's REST API: links, the state of a company, log-out, messages. Errors are RFC 9457 problem JSON."""

from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import structlog
from arq.connections import ArqRedis
from pydantic import BaseModel, Field, HttpUrl, ValidationError
from redis.exceptions import OutOfMemoryError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from app.access import Access
from shared import keys, phone, sentry
from shared.failures import Refused
from shared.ids import COMPANY_PATTERN, CompanyId, SessionId, company_id, session_of
from shared.lease import Leases
from shared.lifecycle import DEVICE
from shared.messages import Message, Outbox
from shared.protocol import Wire
from shared.queue import enqueue
from shared.redis_pool import PASSING
from shared.settings import Settings
from shared.snapshots import Snapshots

log = structlog.get_logger()

DEFAULT_TTL_SECONDS = 24 * 3600
MAX_TTL_SECONDS = 7 * 24 * 3600
MAX_BODY_BYTES = 64 * 1024


class NewLink(Wire):
    """Body of `POST /api/v1/links`."""

    company_id: str = Field(pattern=COMPANY_PATTERN)
    company_name: str | None = Field(default=None, min_length=1, max_length=80)
    phone_number: str | None = Field(default=None, max_length=64)
    locale: str | None = Field(default=None, pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$")
    ttl_seconds: int = Field(default=DEFAULT_TTL_SECONDS, ge=60, le=MAX_TTL_SECONDS)
    return_url: HttpUrl | None = None


class LinkView(Wire):
    """Answer to `POST /api/v1/links`."""

    id: str
    url: str
    token: str
    expires_at: int


class NewMessage(Wire):
    """Body of `POST /api/v1/companies/{id}/messages`."""

    to: str = Field(max_length=64)
    text: Annotated[str, Field(min_length=1, max_length=4096)]


class MessageView(Wire):
    """Answer to it: the message is on its way; the webhook tells how it went."""

    id: str


class Problem(Exception):
    """An error of the API, for a person: what happened and what to do."""

    def __init__(self, status: int, title: str, detail: str, **extra: object) -> None:
        super().__init__(title)
        self.status = status
        self.content = {"type": "about:blank", "title": title, "status": status, "detail": detail, **extra}


NOT_ALLOWED = Problem(401, "Not allowed", "Send one of the API_KEYS as `Authorization: Bearer <key>`.")


AWAY = Problem(503, "Redis is away", "Redis does not answer or takes no writes; try again in some seconds.")


#: Answers carry tokens and the state of companies: nobody between us and the integrator keeps them.
_UNKEPT = {"cache-control": "no-store"}


def problem_response(problem: Problem) -> Response:
    """As it travels."""
    return JSONResponse(problem.content, problem.status, _UNKEPT, media_type="application/problem+json")


async def http_problem(request: Request, error: Exception) -> Response:
    """What the router itself refuses (404, 405): a problem below /api, plain text elsewhere."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for nothing else
    if not request.url.path.startswith("/api/"):
        return PlainTextResponse(error.detail, error.status_code, error.headers)
    problem = problem_response(Problem(error.status_code, error.detail, "docs/ tells what there is below /api/v1."))
    problem.headers.update(error.headers or {})
    return problem


T = TypeVar("T", bound=BaseModel)
Handler = Callable[[Request], Awaitable[Response]]


class Api:
    """The routes, over one Redis."""

    def __init__(
        self, settings: Settings, redis: ArqRedis, access: Access, snapshots: Snapshots, leases: Leases, outbox: Outbox
    ) -> None:
        self._settings = settings
        self._redis = redis
        self._access = access
        self._snapshots = snapshots
        self._leases = leases
        self._outbox = outbox

    def routes(self) -> list[Route]:
        """Everything below `/api/v1`."""
        table: list[tuple[str, str, Handler]] = [
            ("POST", "/links", self.create_link),
            ("DELETE", "/links/{id}", self.revoke_link),
            ("GET", "/companies/{id}", self.company),
            ("DELETE", "/companies/{id}/session", self.unlink),
            ("POST", "/companies/{id}/messages", self.send),
        ]
        return [Route(f"/api/v1{path}", self._guarded(handler), methods=[method]) for method, path, handler in table]

    def _guarded(self, handler: Handler) -> Handler:
        async def guarded(request: Request) -> Response:
            if not self._access.is_integrator(request):
                return problem_response(NOT_ALLOWED)
            sentry.during(f"api.{getattr(handler, '__name__', '')}", _session_in(request))
            try:
                answer = await handler(request)
            except Problem as problem:
                return problem_response(problem)
            except (OutOfMemoryError, *PASSING) as error:
                log.warning("api.interrupted", path=request.url.path, error=type(error).__name__)
                return problem_response(AWAY)
            answer.headers.update(_UNKEPT)
            return answer

        return guarded

    async def create_link(self, request: Request) -> Response:
        """A new link for a company."""
        asked = await _body(request, NewLink)
        number = None
        if asked.phone_number:
            number = _number(asked.phone_number, self._settings.default_region, "phoneNumber")
        link = self._access.new_link(
            company_id(asked.company_id),
            ttl_seconds=asked.ttl_seconds,
            company_name=asked.company_name or asked.company_id,
            phone=number,
            locale=asked.locale,
            return_url=str(asked.return_url) if asked.return_url else None,
        )
        token = self._access.sign(link)
        view = LinkView(
            id=link.id, url=f"{self._settings.base_url}/link#{token}", token=token, expires_at=link.expires_at
        )
        log.info("link.created", session=link.session, link=link.id)
        return JSONResponse(view.model_dump(by_alias=True), 201)

    async def revoke_link(self, request: Request) -> Response:
        """Make a link useless at once."""
        link_id = request.path_params["id"]
        if len(link_id) > 64 or not link_id.replace("-", "").replace("_", "").isalnum():
            raise Problem(404, "No such link", "A link's id is in the answer that created it.")
        await self._access.revoke(link_id)
        return Response(status_code=204)

    async def company(self, request: Request) -> Response:
        """The present snapshot of the company's session, without what only the owner may see."""
        stored = await self._snapshots.read(session_of(_company(request)))
        view = stored.snapshot().model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"qr", "code"})
        return JSONResponse(view)

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
        owner = await self._leases.owner(session)
        if owner is None or (await self._snapshots.read(session)).body.state not in DEVICE:
            raise Problem(409, "Not linked", "This company has no linked WhatsApp; create a link and have it linked.")
        message = await self._outbox.put(session, Message(number, asked.text))
        await enqueue(self._redis, keys.queue_worker(owner), "send", session, message, job_id=f"send:{message}")
        return JSONResponse(MessageView(id=message).model_dump(by_alias=True), 202)


def _session_in(request: Request) -> SessionId | None:
    try:
        return session_of(company_id(request.path_params["id"]))
    except (ValueError, KeyError):
        return None


async def _body(request: Request, model: type[T]) -> T:
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > MAX_BODY_BYTES:
            raise Problem(413, "Too large", f"The body may have {MAX_BODY_BYTES} bytes.")
    try:
        return model.model_validate_json(bytes(raw))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise Problem(422, "Not understood", f"{where or 'body'}: {first['msg']}", field=where) from None


def _company(request: Request) -> CompanyId:
    try:
        return company_id(request.path_params["id"])
    except ValueError as error:
        raise Problem(404, "No such company", f"{error}.".capitalize()) from None


def _number(text: str, region: str, field: str) -> str:
    try:
        return phone.parse(text, region)
    except Refused as refused:
        raise Problem(
            422,
            "Not a phone number",
            "Write it with its country, as in +7 900 123-45-67.",
            code=refused.code,
            field=field,
        ) from None
