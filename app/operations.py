"""A row of the route table: what routes a request, and what the API's description says of it, in one place."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from app.problems import Kind
from shared.ids import COMPANY_PATTERN

Owner = TypeVar("Owner")
Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Id:
    """What `{id}` in a path is, and its pattern."""

    says: str
    pattern: str

    def fits(self, text: str) -> bool:
        """Whether `text` can be such an id."""
        return re.fullmatch(self.pattern, text) is not None


COMPANY_ID = Id("The company, as you name it.", COMPANY_PATTERN)
LINK_ID = Id("The link's `id`.", r"^[A-Za-z0-9_-]{1,64}$")


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
    `problems_of` (app/openapi.py) adds what every operation behind a key can meet."""

    method: str
    path: str
    handler: Callable[[Owner, Request], Awaitable[Response]]
    summary: str
    answers: tuple[Answer, ...]
    problems: tuple[Kind, ...] = ()
    id: Id | None = None
    body: type[BaseModel] | None = None
    needs_key: bool = True

    @property
    def name(self) -> str:
        """Names it in logs, in Sentry, and to generators of clients."""
        return self.handler.__name__
