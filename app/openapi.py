"""The API's description, OpenAPI 3.1, made from the rows that route it: `GET /api/v1/openapi.json`, and docs/api.md."""

import asyncio
import re
from collections.abc import Iterator
from contextvars import Context
from functools import cache
from itertools import groupby
from typing import Any

import orjson
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.requests import Request
from starlette.responses import Response

from app.api.attempts import Attempts
from app.api.companies import Companies
from app.api.feed import Feed
from app.api.links import LinkRoutes
from app.api.texts import Texts
from app.api.webhooks import WebhookRoutes
from app.http.operations import Answer, Operation, operation, operations_of
from app.http.problems import MEDIA_TYPE, Problem, ProblemView
from app.ops.routes import Ops
from shared import VERSION
from shared.core.events import Event, EventType

JSON = dict[str, Any]
JSON_TYPE = "application/json"

_HEADERS = {
    "webhook-id": "The event's id.",
    "webhook-timestamp": "When this try was signed, in seconds since the epoch.",
    "webhook-signature": "`v1,` and the signature, as the Standard Webhooks specification has it.",
}


class Description:
    """Answers with the description itself. It tells nothing secret, so it needs no key."""

    @operation("GET", "/api/v1/openapi.json", Answer(200, "OpenAPI 3.1.", media=JSON_TYPE))
    async def openapi(self, _request: Request) -> Response:
        """This description."""
        return Response(await asyncio.to_thread(made), media_type=JSON_TYPE)


_ANSWERING = (LinkRoutes, Companies, Attempts, Feed, WebhookRoutes, Texts, Description, Ops)
ALL: tuple[Operation, ...] = tuple(one for owner in _ANSWERING for one in operations_of(owner))
"""All that is described."""


@cache
def made() -> bytes:
    """The whole description as it travels. It takes 0.05 s, so it is made when somebody asks, and knows nothing of whom."""
    return orjson.dumps(Context().run(document))


def document() -> JSON:
    paths: JSON = {}
    for one in ALL:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "WhatsApp onboarding",
            "version": VERSION,
            "license": {"name": "Apache License 2.0", "identifier": "Apache-2.0"},
            "description": "Links a company's WhatsApp from the browser and holds its session. All times are "
            "milliseconds since the epoch, UTC. Answers and events may get new fields: ignore what you do not know.",
        },
        "servers": [{"url": "/"}],
        "security": [{"apiKey": []}],
        "paths": paths,
        "webhooks": {kind.value: {"post": _webhook(kind)} for kind in EventType},
        "components": {
            "securitySchemes": {
                "apiKey": {"type": "http", "scheme": "bearer", "description": "One of the service's API_KEYS."}
            },
            "schemas": _schemas(),
        },
    }


def _operation(one: Operation) -> JSON:
    made: JSON = {"operationId": _camel(one.name), "summary": one.summary, "tags": [_tag(one.path)]}
    scopes = sorted(one.scopes)
    needed = f"The key needs the scope {' or '.join(f'`{scope}`' for scope in scopes)}."
    made["description"] = needed if scopes else "Needs no key."
    made["security"] = [{"apiKey": [scope]} for scope in scopes]  # any one of these
    if given := list(_parameters(one)):
        made["parameters"] = given
    if one.body is not None:
        made["requestBody"] = {"required": True, "content": {JSON_TYPE: {"schema": _ref(one.body)}}}
    made["responses"] = dict(_responses(one))
    return made


def _parameters(one: Operation) -> Iterator[JSON]:
    for each in (*one.ids, *one.takes):
        required = {"required": True} if each.place == "path" else {}
        yield {"name": each.name, "in": each.place, **required, "description": each.says, "schema": each.schema}
    if any(answer.status == 304 for answer in one.answers):
        says = "The `ETag` of an earlier answer: what has not changed since is not sent again."
        yield {"name": "If-None-Match", "in": "header", "description": says, "schema": {"type": "string"}}


def _responses(one: Operation) -> Iterator[tuple[str, JSON]]:
    for answer in one.answers:
        said: JSON = {"description": answer.says}
        if answer.model is not None:
            said["content"] = {JSON_TYPE: {"schema": _ref(answer.model)}}
        elif answer.media:
            said["content"] = {answer.media: {"schema": {"type": "object" if answer.media == JSON_TYPE else "string"}}}
        yield str(answer.status), said
    for status, group in groupby(one.problems, key=lambda kind: kind.status):
        kinds = list(group)
        examples = {_camel(kind.name.replace("-", "_")): {"value": Problem(kind).data} for kind in kinds}
        refusal: JSON = {
            "description": "; or: ".join(f"{kind.title}. {kind.detail}" for kind in kinds),
            "content": {MEDIA_TYPE: {"schema": _ref(ProblemView), "examples": examples}},
        }
        if headers := {name: value for kind in kinds for name, value in kind.headers.items()}:
            refusal["headers"] = {
                name: {"schema": {"type": "string"}, "example": value} for name, value in headers.items()
            }
        yield str(status), refusal


def _webhook(kind: EventType) -> JSON:
    return {
        "operationId": _camel(kind.value.replace(".", "_")),
        "summary": kind.says,
        "tags": ["webhooks"],
        "security": [],
        "parameters": [
            {"name": name, "in": "header", "required": True, "description": says, "schema": {"type": "string"}}
            for name, says in _HEADERS.items()
        ],
        "requestBody": {"required": True, "content": {JSON_TYPE: {"schema": _ref(Event)}}},
        "responses": {"2XX": {"description": "Taken. After anything else it is sent again, for a day."}},
    }


def _schemas() -> JSON:
    """Schemas of all models. Only those of bodies are closed, since answers may get new fields in later versions."""
    bodies: set[type[BaseModel]] = {one.body for one in ALL if one.body}
    answers: set[type[BaseModel]] = {answer.model for one in ALL for answer in one.answers if answer.model}
    models: list[type[BaseModel]] = sorted(bodies | answers | {ProblemView, Event}, key=lambda model: model.__name__)
    _, made = models_json_schema(
        [(model, "validation") for model in models], ref_template="#/components/schemas/{model}"
    )
    schemas: JSON = made["$defs"]
    closed = {name for name in schemas if name.startswith("New")}  # bodies, and what they hold
    for name, schema in schemas.items():
        if name not in closed:
            schema.pop("additionalProperties", None)
        schema["description"] = " ".join(schema.get("description", "").split())
        for one in schema.get("properties", {}).values():
            # Generators of clients take a field with a default for one that is always there.
            if (default := one.pop("default", None)) is not None:
                one["description"] = f"{one.get('description', '')} Without it: `{default}`.".strip()
    return schemas


def _ref(model: type[BaseModel]) -> JSON:
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def _tag(path: str) -> str:
    found = re.match(r"/api/v1/(links|companies|webhooks|events)", path)
    return found[1] if found else "service"


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
