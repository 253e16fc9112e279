"""Reading what a caller of the control port wants; its mistakes are told in words."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

_MOST_BODY = 8 << 20
Body = TypeVar("Body", bound=BaseModel)


class BadRequest(Exception):
    """The caller's mistake; the text says which."""


async def read_body(request: Request, model: type[Body]) -> Body:
    """The body as a `model`; BadRequest says what is wrong with it."""
    data = await request.body()
    if len(data) > _MOST_BODY:
        raise BadRequest("the body is too large")
    try:
        return model.model_validate_json(data or b"{}")
    except ValidationError as error:
        where = "; ".join(f"{'.'.join(map(str, part['loc'])) or 'body'}: {part['msg']}" for part in error.errors())
        raise BadRequest(where) from error


def number_in(request: Request) -> str:
    """The phone number in the path."""
    number = str(request.path_params["number"])
    if not 5 <= len(number) <= 15:
        raise BadRequest(f"{number} is no phone number: 5 to 15 digits with the country code, without +")
    return number
