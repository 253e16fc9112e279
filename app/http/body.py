"""A request's body: limited in size, unambiguous JSON, and valid for the operation's model."""

import json
from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError
from starlette.requests import Request

from app.http import problems
from app.http.problems import MAX_BODY_BYTES, Problem

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            twice = InitErrorDetails(
                type=PydanticCustomError("twice", "this field occurs twice"), loc=(name,), input=None
            )
            raise ValidationError.from_exception_data("body", [twice])
        found[name] = value
    return found


def read_json(validate: Callable[..., T], text: str | bytes) -> T:
    """JSON as a model or an adapter validates it. Raises `ValidationError`, also if a field occurs twice, so that two readers
    could read two texts."""
    made = validate(text, strict=True, by_alias=True, by_name=False)
    json.loads(text, object_pairs_hook=_once)
    return made


async def read_body(request: Request, model: type[M]) -> M:
    """The body as `model`. Raises `Problem`."""
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > MAX_BODY_BYTES:
            raise Problem(problems.TOO_LARGE)
    try:
        return read_json(model.model_validate_json, bytes(raw))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        said = first["msg"].removeprefix("Value error, ")
        raise Problem(problems.NOT_UNDERSTOOD, f"{where or 'body'}: {said}", field=where) from None
