"""A request's body: limited in size, unambiguous JSON, and valid for the operation's model."""

import json
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from app.http import problems
from app.http.problems import MAX_BODY_BYTES, Problem

T = TypeVar("T", bound=BaseModel)


class Twice(Exception):
    """A field occurs twice, so that two readers could read two bodies. Its text is the field."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise Twice(name)
        found[name] = value
    return found


def check_once(text: str | bytes | bytearray) -> None:
    """Raise `Twice` if a field of this JSON stands twice."""
    json.loads(text, object_pairs_hook=_once)


async def read_body(request: Request, model: type[T]) -> T:
    """The body as `model`. Raises `Problem`."""
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > MAX_BODY_BYTES:
            raise Problem(problems.TOO_LARGE)
    try:
        made = model.model_validate_json(bytes(raw), strict=True, by_alias=True, by_name=False)
        check_once(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        said = first["msg"].removeprefix("Value error, ")
        raise Problem(problems.NOT_UNDERSTOOD, f"{where or 'body'}: {said}", field=where) from None
    except Twice as twice:
        raise Problem(problems.NOT_UNDERSTOOD, f"{twice}: this field occurs twice", field=str(twice)) from None
    return made
