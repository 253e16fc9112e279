"""The API, for people: the same description that machines get (app/openapi.py), read aloud."""

import json
from typing import Any

from app.openapi import document as description
from docs.generate.markdown import document, generated_from, table

Schema = dict[str, Any]
_REF = "#/components/schemas/"


def page() -> str:
    """`docs/api.md`."""
    made = description()
    schemas: dict[str, Schema] = made["components"]["schemas"]
    rows = [(method, path, one) for path, methods in made["paths"].items() for method, one in methods.items()]
    return document(
        "# The API",
        generated_from("app/openapi.py"),
        f"{made['info']['description']} The same for machines: `GET /api/v1/openapi.json`, OpenAPI {made['openapi']}.",
        "Send one of the `API_KEYS` as `Authorization: Bearer <key>`. Bodies are JSON; a field that is not listed here "
        "is refused. A `?` marks a field that may be absent. Errors are [problems](#problems). The page's websocket is "
        "in [protocol.md](protocol.md).",
        "A `POST` that makes something takes an `Idempotency-Key`: without an answer, send the same again under it. Every "
        "answer names itself in `X-Request-Id`, which finds it in the service's log. After 429 and 503 wait for "
        "`Retry-After` seconds. [Ten commands](integrate.md) show the way from a link to an answered message.",
        table(
            ["", "", ""],
            [
                (f"`{method.upper()}`", f"[`{path}`](#{one['operationId'].lower()})", one["summary"])
                for method, path, one in rows
            ],
        ),
        *(_operation(method, path, one) for method, path, one in rows),
        "## Problems",
        "Content type `application/problem+json`, by RFC 9457; `type` tells the kinds apart, and never changes.",
        _problems(rows),
        "## Webhooks",
        "What your server gets; how to verify and answer it is in [webhooks.md](webhooks.md).",
        table(["type", "when"], [(f"`{name}`", one["post"]["summary"]) for name, one in made["webhooks"].items()]),
        "## Schemas",
        *(_schema(name, schema) for name, schema in sorted(schemas.items())),
    )


def _operation(method: str, path: str, one: Schema) -> str:
    answers = [(status, answer) for status, answer in one["responses"].items() if not _is_problem(answer)]
    refusals = [
        f"{status} {example['value']['title']}"
        for status, answer in one["responses"].items()
        if _is_problem(answer)
        for example in answer["content"]["application/problem+json"]["examples"].values()
    ]
    body = [_content(one["requestBody"])] if "requestBody" in one else []
    return document(
        f'<a id="{one["operationId"].lower()}"></a>',
        f"### `{method.upper()} {path}`",
        f"{one['summary']} {one['description']}",
        *(_parameter(given) for given in one.get("parameters", [])),
        *(f"Body: {text}." for text in body),
        table(
            ["answer", "", "body"], [(status, answer["description"], _content(answer)) for status, answer in answers]
        ),
        f"Problems: {', '.join(refusals)}." if refusals else "",
    )


def _parameter(given: Schema) -> str:
    form = {"path": "`{{{}}}`", "query": "Query `?{}=`", "header": "Header `{}`?"}[given["in"]]
    values = given["schema"].get("enum", [])
    one_of = f" One of {', '.join(f'`{value}`' for value in values)}." if values else ""
    return f"{form.format(given['name'])}: {given['description']}{one_of}"


def _is_problem(answer: Schema) -> bool:
    return "application/problem+json" in answer.get("content", {})


def _content(answer: Schema) -> str:
    for media, content in answer.get("content", {}).items():
        return _type(content["schema"]) if "$ref" in content["schema"] else f"`{media}`"
    return "-"


def _problems(rows: list[tuple[str, str, Schema]]) -> str:
    kinds = {
        tuple(example["value"][name] for name in ("status", "type", "title", "detail"))
        for _, _, one in rows
        for answer in one["responses"].values()
        if _is_problem(answer)
        for example in answer["content"]["application/problem+json"]["examples"].values()
    }
    return table(
        ["status", "type", "title", "what to do"],
        [(str(status), f"`{kind}`", title, detail) for status, kind, title, detail in sorted(kinds)],
    )


def _schema(name: str, schema: Schema) -> str:
    needed = schema.get("required", [])
    fields = [
        (f"`{field}`" + ("" if field in needed else "?"), _type(one), one.get("description", ""))
        for field, one in schema.get("properties", {}).items()
    ]
    values = f"One of {', '.join(f'`{value}`' for value in schema['enum'])}." if "enum" in schema else ""
    return document(
        f"### {name}", schema.get("description", ""), values, table(["field", "type", "what"], fields) if fields else ""
    )


def _type(schema: Schema) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(_REF)
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"] if one.get("type") != "null")
    if "items" in schema:
        return f"array of {_type(schema['items'])}"
    words = [(schema.get("format") == "uri" and "URL") or str(schema["type"])]
    limits = {
        "minLength": "at least {}", "maxLength": "at most {}", "minimum": "≥ {}", "maximum": "≤ {}", "pattern": "`{}`"
    }  # fmt: skip
    words += [text.format(schema[name]) for name, text in limits.items() if name in schema]
    if schema.get("default") is not None:
        words.append(f"default `{json.dumps(schema['default'])}`")
    return ", ".join(words)
