"""A row of the route table: what routes a request, and what the API's description says of it, in one place.

The row stands before its handler, as `@operation(…)`; the handler's docstring is the row's summary.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from app.http import problems
from app.http.problems import NOT_UNDERSTOOD, Kind, Problem
from shared.core.apikeys import Scope
from shared.core.ids import COMPANY_PATTERN, CompanyId, SessionId, session_of

Handler = Callable[[Any, Request], Awaitable[Response | BaseModel | None]]
"""A method that answers a request: with a model, which is sent as JSON, with nothing, or with a response of its own."""
H = TypeVar("H", bound=Handler)


@dataclass(frozen=True, slots=True)
class Id:
    """An id in a path, behind this part of it: its meaning, its pattern, and the problem of one that does not fit."""

    behind: str
    name: str
    says: str
    pattern: str
    problem: Kind

    def fits(self, request: Request) -> bool:
        """True if what stands in the request's path can be such an id."""
        return re.fullmatch(self.pattern, request.path_params[self.name]) is not None

    def check(self, request: Request) -> None:
        """Raise `Problem` unless it fits."""
        if not self.fits(request):
            raise Problem(self.problem)


COMPANY_ID = Id("companies", "id", "The company, as you name it.", COMPANY_PATTERN, problems.NO_COMPANY)
IDS = (
    COMPANY_ID,
    Id("messages", "message", "The message's `id`.", r"^[0-9a-f]{16}$", problems.NO_MESSAGE),
    Id(
        "contacts",
        "number",
        "The number, best with its country, as `+79001234567`; or `<digits>@s.whatsapp.net`.",
        r"^[^/]{1,64}$",
        problems.NOT_A_PHONE,
    ),
    Id("webhooks", "id", "The event's `id`.", r"^[A-Za-z0-9_-]{1,100}$", problems.NO_EVENT),
    Id("links", "id", "The link's `id`.", r"^[A-Za-z0-9_-]{1,64}$", problems.NO_LINK),
)
LINKS, COMPANIES, MESSAGES, OPS = (frozenset({one}) for one in Scope)


@dataclass(frozen=True, slots=True)
class Header:
    """A header that a request may have, what it says, and its pattern."""

    name: str
    says: str
    pattern: str

    def of(self, request: Request) -> str | None:
        """Value that the request has for this parameter. Raises `Problem` for one that does not fit."""
        text = request.headers.get(self.name)
        if text is not None and not re.fullmatch(self.pattern, text):
            raise Problem(NOT_UNDERSTOOD, f"{self.name}: it does not fit {self.pattern}", field=self.name)
        return text


IDEMPOTENCY_KEY = Header(
    "Idempotency-Key",
    "Made by you, one for each request: what comes again under it within 24 hours is not done again, and gets the same "
    "answer.",
    r"^[ -~]{1,255}$",
)


@dataclass(frozen=True, slots=True)
class Query:
    """A parameter behind the `?`, and its JSON schema, of which `enum`, `minimum`, `maximum` and `pattern` are checked."""

    name: str
    says: str
    schema: dict[str, Any]

    def text_of(self, request: Request) -> str | None:
        """The request's word. Raises `Problem` if it does not fit, or stands there twice."""
        given = request.query_params.getlist(self.name)
        if not given:
            return None
        text, pattern = given[0], self.schema.get("pattern", ".*")
        if len(given) > 1 or text not in self.schema.get("enum", [text]) or not re.fullmatch(pattern, text):
            raise self._unfit()
        return text

    def number_of(self, request: Request) -> int | None:
        """Value of the parameter as a whole number within its bounds."""
        text = self.text_of(request)
        if text is None:
            return None
        if not re.fullmatch(r"[0-9]{1,9}", text) or not self.schema["minimum"] <= int(text) <= self.schema["maximum"]:
            raise self._unfit()
        return int(text)

    def _unfit(self) -> Problem:
        return Problem(NOT_UNDERSTOOD, f"{self.name}: it does not fit {self.schema}", field=self.name)


WAIT = Query(
    "wait",
    "Answer only when something is newer than `If-None-Match` (without it, than now), or after so many seconds.",
    {"type": "integer", "minimum": 0, "maximum": 25},
)


def company_in(request: Request) -> CompanyId:
    """The company that a path names."""
    return CompanyId(request.path_params["id"])


def session_in(request: Request) -> SessionId:
    """The session of the company that a path names."""
    return session_of(company_in(request))


def reply(view: BaseModel, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A model as JSON, without what is absent."""
    return JSONResponse(view.model_dump(mode="json", by_alias=True, exclude_none=True), status, headers)


@dataclass(frozen=True, slots=True)
class Answer:
    """One way in which an operation succeeds, or says no without a problem. `media` of its body, if it has one."""

    status: int
    says: str
    model: type[BaseModel] | None = None
    media: str = ""


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path. `own`: problems that do not follow from the rest. A key needs one of the `scopes`; an
    operation without scopes needs no key."""

    method: str
    path: str
    handler: Handler
    answers: tuple[Answer, ...]
    own: tuple[Kind, ...] = ()
    body: type[BaseModel] | None = None
    headers: tuple[Header, ...] = ()
    query: tuple[Query, ...] = ()
    scopes: frozenset[Scope] = frozenset()

    @property
    def name(self) -> str:
        """Names it in logs, in Sentry, and to generators of clients."""
        return self.handler.__name__

    @property
    def summary(self) -> str:
        """The handler's docstring."""
        return " ".join((self.handler.__doc__ or "").split())

    @property
    def ids(self) -> tuple[Id, ...]:
        """The ids in the path."""
        return tuple(one for one in IDS if f"/{one.behind}/{{{one.name}}}" in self.path)

    @property
    def problems(self) -> tuple[Kind, ...]:
        """The problems that it may answer, by status."""
        found = [*(one.problem for one in self.ids), *self.own]
        found += [problems.TOO_LARGE] if self.body else []
        found += [NOT_UNDERSTOOD] if self.body or self.query or self.headers else []
        found += [problems.KEY_REUSED] if IDEMPOTENCY_KEY in self.headers else []
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
