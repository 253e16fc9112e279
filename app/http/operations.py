"""A row of the route table: what routes a request, and what the API's description says of it, in one place.

The row stands before its handler, as `@operation(…)`; the handler's docstring is the row's summary.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from app.http import problems
from app.http.problems import NOT_UNDERSTOOD, Kind, Problem, unfit
from shared.core.apikeys import Scope
from shared.core.datum import Datum
from shared.core.ids import COMPANY_PATTERN, CompanyId, SessionId, session_of

Handler = Callable[..., Awaitable[Response | BaseModel | None]]
"""A method that answers a request, and gets its body as well if it has a parameter `asked`. It answers with a model, which is
sent as JSON, with nothing, or with a response of its own."""
H = TypeVar("H", bound=Handler)


class Parameter(Datum):
    """A part of a request: its `place` (path, query or header), its meaning, and its JSON schema, of which `enum`, `minimum`,
    `maximum` and `pattern` are checked. Of an id in a path: the part `behind` which it stands, and the problem of one that
    does not fit."""

    place: str
    name: str
    says: str
    schema: dict[str, Any]
    behind: str = ""
    problem: Kind = NOT_UNDERSTOOD

    def text_of(self, request: Request) -> str | None:
        """The request's word. Raises `Problem` if it does not fit, or stands there twice."""
        given = self._given(request)
        if not self.fits(request):
            raise Problem(self.problem) if self.behind else unfit(self.name, f"it does not fit {self.schema}")
        return given[0] if given else None

    def number_of(self, request: Request) -> int | None:
        """Value of the parameter as a whole number within its bounds."""
        text = self.text_of(request)
        return None if text is None else int(text)

    def fits(self, request: Request) -> bool:
        """True if the request does not have it, or once and by its schema."""
        given, schema = self._given(request), self.schema
        if len(given) != 1:
            return not given
        if schema["type"] == "integer":
            is_number = re.fullmatch(r"[0-9]{1,9}", given[0]) is not None
            return is_number and schema["minimum"] <= int(given[0]) <= schema["maximum"]
        return given[0] in schema.get("enum", given) and re.fullmatch(schema.get("pattern", ".*"), given[0]) is not None

    def _given(self, request: Request) -> list[str]:
        if self.place == "path":
            return [request.path_params[self.name]]
        return (request.headers if self.place == "header" else request.query_params).getlist(self.name)


def _id(behind: str, name: str, says: str, pattern: str, problem: Kind) -> Parameter:
    return Parameter("path", name, says, {"type": "string", "pattern": pattern}, behind, problem)


COMPANY_ID = _id("companies", "id", "The company, as you name it.", COMPANY_PATTERN, problems.NO_COMPANY)
IDS = (
    COMPANY_ID,
    _id("messages", "message", "The message's `id`.", r"^[0-9a-f]{16}$", problems.NO_MESSAGE),
    _id(
        "contacts",
        "number",
        "The number, best with its country, as `+79001234567`; or `<digits>@s.whatsapp.net`.",
        r"^[^/]{1,64}$",
        problems.NOT_A_PHONE,
    ),
    _id("webhooks", "id", "The event's `id`.", r"^[A-Za-z0-9_-]{1,100}$", problems.NO_EVENT),
    _id("links", "id", "The link's `id`.", r"^[A-Za-z0-9_-]{1,64}$", problems.NO_LINK),
)
LINKS, COMPANIES, MESSAGES, OPS = (frozenset({one}) for one in Scope)

IDEMPOTENCY_KEY = Parameter(
    "header",
    "Idempotency-Key",
    "Made by you, one for each request: what comes again under it within 24 hours is not done again, and gets the same "
    "answer.",
    {"type": "string", "pattern": r"^[ -~]{1,255}$"},
)
WAIT = Parameter(
    "query",
    "wait",
    "Answer only when something is newer than `If-None-Match` (without it, than now), or after so many seconds.",
    {"type": "integer", "minimum": 0, "maximum": 25},
)


def company_in(request: Request) -> CompanyId:
    return CompanyId(request.path_params["id"])


def session_in(request: Request) -> SessionId:
    return session_of(company_in(request))


def reply(view: BaseModel, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A model as JSON, without what is absent."""
    return JSONResponse(view.model_dump(mode="json", by_alias=True, exclude_none=True), status, headers)


class Answer(Datum):
    """One way in which an operation succeeds, or says no without a problem. `media` of its body, if it has one."""

    status: int
    says: str
    model: type[BaseModel] | None = None
    media: str = ""


class Operation(Datum):
    """One method of one path. `own`: problems that do not follow from the rest. `takes`: its parameters but for ids. A key
    needs one of the `scopes`; an operation without scopes needs no key."""

    method: str
    path: str
    handler: Handler
    answers: tuple[Answer, ...]
    own: tuple[Kind, ...] = ()
    takes: tuple[Parameter, ...] = ()
    scopes: frozenset[Scope] = frozenset()

    @property
    def name(self) -> str:
        """Names it in logs, in Sentry, and to generators of clients."""
        return self.handler.__name__

    @property
    def summary(self) -> str:
        return " ".join((self.handler.__doc__ or "").split())

    @property
    def body(self) -> type[BaseModel] | None:
        return self.handler.__annotations__.get("asked")

    @property
    def ids(self) -> tuple[Parameter, ...]:
        return tuple(one for one in IDS if f"/{one.behind}/{{{one.name}}}" in self.path)

    @property
    def problems(self) -> tuple[Kind, ...]:
        """The problems that it may answer, by status."""
        found = [*(one.problem for one in self.ids), *self.own]
        found += [problems.TOO_LARGE] if self.body else []
        found += [NOT_UNDERSTOOD] if self.body or self.takes else []
        found += [problems.KEY_REUSED] if IDEMPOTENCY_KEY in self.takes else []
        if self.scopes:
            found += [problems.AWAY, problems.BUSY, problems.NOT_ALLOWED, problems.NOT_IN_SCOPE, problems.TOO_MANY_KEYS]
            found += [problems.BUG] if self.path.startswith("/api/") else []
        return tuple(sorted(found, key=lambda kind: kind.status))


def operation(method: str, path: str, *answers: Answer, own: tuple[Kind, ...] = (), **about: Any) -> Callable[[H], H]:
    """Make a method the handler of an operation; `about`: the further fields of `Operation`."""

    def mark(handler: H) -> H:
        vars(handler)["operation"] = Operation(method, path, handler, answers, own, **about)
        return handler

    return mark


def operations_of(owner: type) -> list[Operation]:
    """The operations whose handlers a class has, in their order there."""
    return [one.operation for one in vars(owner).values() if hasattr(one, "operation")]
