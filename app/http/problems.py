"""Problem types of the API (RFC 9457): one row for each, and the response that carries it.

`Operation.problems` (app/http/operations.py) says which of them an operation may answer.
"""

from contextvars import ContextVar
from http import HTTPStatus
from typing import Any

from pydantic import Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from shared.core.clock import now_ms
from shared.core.datum import Datum
from shared.core.failures import FailureCode, Refused
from shared.core.protocol import Wire
from shared.state.refusals import PoolBusy, reason

MAX_BODY_BYTES = 64 * 1024
MEDIA_TYPE = "application/problem+json"

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""Names the request that is served; set by app/http/border.py."""

#: Answers carry tokens and the state of companies, so no cache on the way may keep them.
UNKEPT = {"cache-control": "no-store"}


class Kind(Datum):
    """One kind of problem. `name` never changes; `detail` says what to do, where a problem of this kind does not say it
    more exactly. `titled`: its title, if that is not the name as words."""

    status: int
    name: str
    detail: str
    header: tuple[str, str] | None = None
    retry: int | None = None
    titled: str = ""

    @property
    def headers(self) -> dict[str, str]:
        """Headers of its answer. `retry`: seconds at most, if a problem of this kind does not say it more exactly."""
        again = {"Retry-After": str(self.retry)} if self.retry else {}
        return again | (dict([self.header]) if self.header else {})

    @property
    def title(self) -> str:
        return self.titled or self.name.replace("-", " ").capitalize()

    @property
    def type(self) -> str:
        """The URI by which programs know it."""
        return f"/problems/{self.name}" if self.name else "about:blank"


NOT_ALLOWED = Kind(
    401,
    "not-allowed",
    "Send one of the API_KEYS as `Authorization: Bearer <key>`.",
    header=("WWW-Authenticate", "Bearer"),
)
NOT_IN_SCOPE = Kind(
    403,
    "not-in-scope",
    "Use a key with the scope that this needs: see `API_KEYS` in the environment.",
    titled="Not for this key",
)
TOO_MANY_KEYS = Kind(
    429, "too-many-wrong-keys", "This address has sent too many wrong keys; a right one is let in at once.", retry=60
)
NO_COMPANY = Kind(
    404, "no-such-company", "A company id is 1-64 letters, digits, '_', '.' or '-', and begins with a letter or digit."
)
NO_LINK = Kind(404, "no-such-link", "A link's id is in the answer that created it.")
NO_MESSAGE = Kind(404, "no-such-message", "A message's id is in the answer that took it; it is known for 7 days.")
NO_ANSWER = Kind(
    503,
    "whatsapp-did-not-answer",
    "The company's session is not online, or WhatsApp is slow; try again in some seconds.",
    titled="WhatsApp did not answer",
    retry=5,
)
NO_RECEIVER = Kind(404, "no-receiver", "This company has no receiver of its own, and the service has none either.")
NO_EVENT = Kind(404, "no-such-event", "An event that was taken and is no longer in the feed is forgotten.")
TOO_MANY_STREAMS = Kind(
    429,
    "too-many-streams",
    "This process serves as many streams as it can; connect again after `Retry-After` seconds.",
    retry=5,
)
NOT_LINKED = Kind(409, "not-linked", "This company has no linked WhatsApp; create a link and have it linked.")
ALREADY_LINKED = Kind(409, "already-linked", "This company has a linked WhatsApp; log it out before it links another.")
REFUSED = Kind(409, "refused", "`code` says why; `Retry-After`, if it is there, when the same may be tried again.")
COOLING_DOWN = Kind(
    429,
    "cool-down",
    "Too many attempts were begun for this phone or company; try again after `Retry-After` seconds.",
    titled="Too many attempts",
    retry=600,
)
PAUSED = Kind(
    503, "paused", "An operator has paused onboarding; try again later.", titled="Onboarding is paused", retry=60
)
NO_ROOM = Kind(
    503,
    "no-room",
    "More onboardings wait for a place than can be served in time (`MAX_WAITING`); try again after `Retry-After` seconds.",
    titled="Too many wait",
    retry=60,
)
TOO_LARGE = Kind(413, "too-large", f"The body may have {MAX_BODY_BYTES} bytes.")
NOT_UNDERSTOOD = Kind(422, "not-understood", "`field` names what is at fault, and `detail` says why.")
KEY_REUSED = Kind(
    422,
    "key-reused",
    "Something else was asked for under this `Idempotency-Key`: make one for each request.",
    titled="Key used already",
)
NOT_A_PHONE = Kind(422, "not-a-phone-number", "Write it with its country, as in +7 900 123-45-67.")
OUTBOX_FULL = Kind(
    429,
    "outbox-full",
    "200 texts of this company wait to be sent; send the next after `Retry-After` seconds.",
    titled="Too many texts wait",
    retry=600,
)
BUG = Kind(500, "our-fault", "This is a bug of the service; it has been reported.", header=("Connection", "close"))
AWAY = Kind(503, "redis-is-away", "Redis does not answer or takes no writes; try again in some seconds.", retry=5)
BUSY = Kind(503, "busy", "This process has as many requests under way as it can; try again in some seconds.", retry=2)


_OF_CODES = {
    FailureCode.INVALID_PHONE: NOT_A_PHONE,
    FailureCode.COOL_DOWN: COOLING_DOWN,
    FailureCode.PAUSED: PAUSED,
    FailureCode.NO_ROOM: NO_ROOM,
}


def of_refusal(refused: Refused) -> "Problem":
    """The problem of a request that the rules of onboarding refuse."""
    wait = max(1, -(-(refused.retry_at - now_ms()) // 1000)) if refused.retry_at else None
    kind = _OF_CODES.get(refused.code, REFUSED)
    return Problem(kind, code=refused.code, field=refused.field, retry_after=wait)


def unfit(field: str, sentence: str) -> "Problem":
    """The problem of a field that is not accepted; `sentence` says why."""
    return Problem(NOT_UNDERSTOOD, f"{field}: {sentence}", field=field)


def of_redis(error: Exception) -> "Problem":
    """The problem that a caller gets for a passing fault of Redis (`PASSING`)."""
    if isinstance(error, PoolBusy):
        return Problem(BUSY)
    return Problem(AWAY, f"{reason(error)}; try again in some seconds.")


class ProblemView(Wire):
    """A problem, by RFC 9457."""

    type: str = Field(
        description="Which kind it is, such as `/problems/not-linked`: it never changes. `about:blank` for what the status "
        "alone says."
    )
    title: str = Field(description="The kind, for a person.")
    status: int = Field(description="The answer's status.")
    detail: str = Field(description="The trouble and its way out, for a person.")
    field: str | None = Field(default=None, description="The field of the body, or the header, that is at fault.")
    code: FailureCode | None = Field(default=None, description="The failure, as the page and the webhooks name it.")
    request_id: str | None = Field(default=None, description="Names this request in the service's log: `X-Request-Id`.")


class Problem(Exception):
    def __init__(
        self,
        kind: Kind,
        detail: str | None = None,
        *,
        field: str | None = None,
        code: FailureCode | None = None,
        retry_after: int | None = None,
    ) -> None:
        """`retry_after`: seconds, in place of those that problems of this kind name."""
        super().__init__(kind.title)
        self._headers = dict(kind.headers)
        if retry_after is not None:
            self._headers["Retry-After"] = str(retry_after)
        self.view = ProblemView(
            type=kind.type,
            title=kind.title,
            status=kind.status,
            detail=detail or kind.detail,
            field=field,
            code=code,
            request_id=request_id.get() or None,
        )

    @property
    def data(self) -> dict[str, Any]:
        return self.view.model_dump(mode="json", by_alias=True, exclude_none=True)

    def response(self) -> Response:
        return JSONResponse(self.data, self.view.status, UNKEPT | self._headers, media_type=MEDIA_TYPE)


async def http_problem(request: Request, error: Exception) -> Response:
    """Answer for refusals of the router (404, 405) and for bugs: a problem below /api, plain text elsewhere."""
    if isinstance(error, HTTPException):
        about = "GET /api/v1/openapi.json tells what there is."
        kind, headers = Kind(error.status_code, "", about, titled=error.detail), error.headers
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            headers = {"Allow": ", ".join(_methods(request))}
    else:
        kind, headers = BUG, dict(BUG.headers)
    if not request.url.path.startswith("/api/"):
        return PlainTextResponse(kind.title, kind.status, headers)
    answer = Problem(kind).response()
    answer.headers.update(headers or {})
    return answer


def _methods(request: Request) -> list[str]:
    """The methods of an address. The router itself names those of the first route that fits."""
    path, routes = request.scope["path"], request.app.routes
    fitting = [one for one in routes if isinstance(one, Route) and one.path_regex.match(path)]
    exact = min(one.path.count("{") for one in fitting)
    return sorted({method for one in fitting if one.path.count("{") == exact for method in one.methods or ()})
