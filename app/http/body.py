"""A request's body: limited in size, unambiguous JSON, and valid for the operation's model."""

import json
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from app.http import problems
from app.http.problems import MAX_BODY_BYTES, Problem

T = TypeVar("T", bound=BaseModel)


class _Twice(Exception):
    """A field occurs twice, so that two readers could read two bodies."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise _Twice(name)
        found[name] = value
    return found


async def read_body(request: Request, model: type[T]) -> T:
    """The body as `model`. Raises `Problem`."""
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > MAX_BODY_BYTES:
            raise Problem(problems.TOO_LARGE)
    try:
        made = model.model_validate_json(bytes(raw), strict=True)
        json.loads(raw, object_pairs_hook=_once)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        said = first["msg"].removeprefix("Value error, ")
        raise Problem(problems.NOT_UNDERSTOOD, f"{where or 'body'}: {said}", field=where) from None
    except _Twice as twice:
        raise Problem(problems.NOT_UNDERSTOOD, f"{twice}: this field occurs twice", field=str(twice)) from None
    return made
