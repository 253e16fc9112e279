"""A row of the route table: what routes a request, and what the API's description says of it, in one place."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from app.http.problems import NO_COMPANY, NOT_UNDERSTOOD, Kind, Problem
from shared.core.apikeys import Scope
from shared.core.ids import COMPANY_PATTERN, CompanyId, company_id

Owner = TypeVar("Owner")
Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Id:
    """The meaning of `{id}` in a path, and its pattern."""

    says: str
    pattern: str

    def fits(self, text: str) -> bool:
        """True if `text` can be such an id."""
        return re.fullmatch(self.pattern, text) is not None


LINKS, COMPANIES, MESSAGES, OPS = (frozenset({one}) for one in Scope)

COMPANY_ID = Id("The company, as you name it.", COMPANY_PATTERN)
MESSAGE_ID = Id("The message's `id`.", r"^[0-9a-f]{16}$")
NUMBER = Id("The number, best with its country, as `+79001234567`; or `<digits>@s.whatsapp.net`.", r"^[^/]{1,64}$")
EVENT_ID = Id("The event's `id`.", r"^[A-Za-z0-9_-]{1,100}$")
LINK_ID = Id("The link's `id`.", r"^[A-Za-z0-9_-]{1,64}$")


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
    """The company that a path names. Raises `Problem`."""
    try:
        return company_id(request.path_params["id"])
    except ValueError:
        raise Problem(NO_COMPANY) from None


@dataclass(frozen=True, slots=True)
class Answer:
    """One way in which an operation succeeds, or says no without a problem. `media` of its body, if it has one."""

    status: int
    says: str
    model: type[BaseModel] | None = None
    media: str = ""


@dataclass(frozen=True, slots=True)
class Operation(Generic[Owner]):
    """One method of one path; `handler` is a method of the class that answers. `problems`: those of its own;
    `problems_of` (app/openapi.py) adds what every operation behind a key can meet. A key needs one of the `scopes`; an
    operation without scopes needs no key."""

    method: str
    path: str
    handler: Callable[[Owner, Request], Awaitable[Response]]
    summary: str
    answers: tuple[Answer, ...]
    problems: tuple[Kind, ...] = ()
    id: Id | None = None
    item: tuple[str, Id] | None = None
    body: type[BaseModel] | None = None
    headers: tuple[Header, ...] = ()
    query: tuple[Query, ...] = ()
    scopes: frozenset[Scope] = frozenset()

    @property
    def name(self) -> str:
        """Names it in logs, in Sentry, and to generators of clients."""
        return self.handler.__name__
