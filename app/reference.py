"""The API's reference for people at `/docs`: one page of HTML, which loads only its own style, and runs no script."""

import asyncio
from collections.abc import Iterator, Sequence
from functools import cache
from html import escape
from pathlib import Path

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.openapi import JSON, made

STYLE = Path(__file__).with_suffix(".css").read_text(encoding="utf-8")


def _text(text: str) -> str:
    """Escaped, with `code` between backticks."""
    return "".join(
        f"<code>{escape(part)}</code>" if index % 2 else escape(part) for index, part in enumerate(text.split("`"))
    )


def _type(schema: JSON) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return f'<a href="#{escape(name)}">{escape(name)}</a>'
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"] if one.get("type") != "null")
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return escape(str(schema.get("const", schema.get("type", "any"))))


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    if not rows:
        return ""
    head = "".join(f"<th>{one}</th>" for one in heads)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _body_of(one: JSON) -> JSON | None:
    found: JSON | None = next((content["schema"] for content in one.get("content", {}).values()), None)
    return found


def _curl(method: str, path: str, one: JSON) -> str:
    key = "" if one.get("security") == [] else " -H 'Authorization: Bearer KEY'"
    body = " -H 'Content-Type: application/json' -d '{…}'" if "requestBody" in one else ""
    return f'<pre tabindex="0">curl -X {method}{key}{body} https://HOST{escape(path)}</pre>'


def _operation(method: str, path: str, one: JSON) -> Iterator[str]:
    yield f'<section id="{escape(one["operationId"])}"><h3><b>{method}</b> <code>{escape(path)}</code></h3>'
    yield f"<p>{_text(one['summary'])} {_text(one['description'])}</p>{_curl(method, path, one)}"
    given = [
        (f"<code>{escape(each['name'])}</code>", each["in"], _type(each["schema"]), _text(each["description"]))
        for each in one.get("parameters", [])
    ]
    yield _table(("parameter", "in", "type", "what"), given)
    if "requestBody" in one:
        yield f"<p>Body: {_type(_body_of(one['requestBody']) or {})}</p>"
    answers = [
        (status, _text(answer["description"]), _type(body) if (body := _body_of(answer)) else "")
        for status, answer in one["responses"].items()
    ]
    yield _table(("status", "when", "body"), answers) + "</section>"


def _schema(name: str, schema: JSON) -> Iterator[str]:
    yield f'<section id="{escape(name)}"><h3>{escape(name)}</h3><p>{_text(schema.get("description", ""))}</p>'
    needed = schema.get("required", [])
    rows = [
        (f"<code>{escape(field)}</code>{'' if field in needed else '?'}", _type(one), _text(one.get("description", "")))
        for field, one in schema.get("properties", {}).items()
    ]
    yield _table(("field", "type", "what"), rows)
    if "enum" in schema:
        yield "<p>One of " + ", ".join(f"<code>{escape(str(one))}</code>" for one in schema["enum"]) + ".</p>"
    yield "</section>"


def render(made: JSON) -> str:
    rows = [(method.upper(), path, one) for path, methods in made["paths"].items() for method, one in methods.items()]
    links = "".join(
        f'<li><a href="#{escape(one["operationId"])}"><b>{method}</b> <code>{escape(path)}</code></a></li>'
        for method, path, one in rows
    )
    hooks = [(f"<code>{escape(name)}</code>", _text(one["post"]["summary"])) for name, one in made["webhooks"].items()]
    info = made["info"]
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>API reference</title>',
        '<meta name="viewport" content="width=device-width"><link rel="stylesheet" href="/docs/style.css"></head><body>',
        f"<header><h1>{escape(info['title'])} <small>{escape(info['version'])}</small></h1><p>{_text(info['description'])}</p>",
        f'<p>For programs: <a href="/api/v1/openapi.json">OpenAPI {escape(made["openapi"])}</a>.</p>',
        f"<p>Licence: {escape(info['license']['name'])}.</p></header><nav><ul>{links}</ul></nav>",
        "<main><h2>Operations</h2>",
        *(text for method, path, one in rows for text in _operation(method, path, one)),
        f"<h2>Webhooks</h2>{_table(('type', 'when'), hooks)}<h2>Schemas</h2>",
        *(text for name, one in sorted(made["components"]["schemas"].items()) for text in _schema(name, one)),
        "</main></body></html>",
    ]
    return "\n".join(parts)


@cache
def _page() -> str:
    return render(orjson.loads(made()))


async def _answer(_request: Request) -> Response:
    return Response(await asyncio.to_thread(_page), media_type="text/html")


ROUTES = [
    Route("/docs", _answer),
    Route("/docs/style.css", Response(STYLE, media_type="text/css"), methods=["GET"]),
]
"""The page, and its style. They tell nothing secret, so they need no key."""
