"""The messages between browser and server, and those between the worker and its engine processes."""

import json
from collections.abc import Iterable
from enum import StrEnum

from pydantic import BaseModel

from docs.generate import examples, shape
from docs.generate.markdown import document, generated_from, said, table
from shared.core import protocol
from shared.core.failures import FailureCode
from shared.core.lifecycle import State
from workers.engine import protocol as engine

#: Closed sets that have a table elsewhere.
_ELSEWHERE = {State, FailureCode, protocol.MessageType}


def browser() -> str:
    """`docs/protocol.md`."""
    commands = shape.members(protocol.ClientMessage)
    of_snapshot = shape.referred([protocol.Snapshot])
    of_message = [one for one in shape.referred([protocol.ServerMessage]) if one not in of_snapshot]
    answers = examples.server()
    return document(
        "# The websocket: `/ws/v1`",
        "<!-- all run: tests/tooling/test_generated.py -->",
        generated_from("shared/core/protocol.py"),
        "JSON both ways, camelCase; times are milliseconds since the epoch, UTC. A browser's message has at most "
        f"{protocol.MAX_MESSAGE_BYTES} bytes; a field that is not listed here is refused. A `?` marks a field that may "
        "be absent: the server leaves out what does not exist and never sends `null`.",
        "The first message on a socket is `hello`; its answer carries the present snapshot. From then on every change "
        "comes as the whole snapshot again, so a page that missed something needs nothing but the next message: it "
        "keeps the newest by `(attempt, seq)` and drops the rest. Commands are idempotent.",
        "## Browser → server",
        *(_message(one, examples.CLIENT[one]) for one in commands),
        "## Server → browser",
        said(protocol.ServerMessage),
        _fields(protocol.ServerMessage),
        "`type` says what changed:",
        table(["type", "when"], [(f"`{kind.value}`", examples.WHEN[kind]) for kind in protocol.MessageType]),
        *(f"Example, `{kind.value}`:\n\n{_json(answers[kind])}" for kind in protocol.MessageType),
        "## The snapshot",
        said(protocol.Snapshot),
        _fields(protocol.Snapshot),
        *(_part(one) for one in of_snapshot if one not in {protocol.Snapshot, *_ELSEWHERE}),
        "## Errors and the first answer",
        *(_part(one) for one in of_message if one not in {protocol.ServerMessage, *_ELSEWHERE}),
        "The failure codes are listed in [failures.md](failures.md), the states in [lifecycle.md](lifecycle.md).",
        "## Close codes",
        table(["code", "why"], [(str(code.value), examples.CLOSED[code]) for code in protocol.CloseCode]),
    )


def pipe() -> str:
    """`docs/pipe.md`."""
    directions = [
        ("Worker → linker", engine.ToLinker),
        ("Linker → worker", engine.FromLinker),
        ("Worker → holder", engine.ToHolder),
        ("Holder → worker", engine.FromHolder),
    ]
    return document(
        "# The pipe between a worker and its engine processes",
        generated_from("workers/engine/protocol.py"),
        "JSON, one message a line, over a pipe that only the worker and its child know. A linker runs exactly one "
        "attempt and is then gone; a holder keeps many sessions. A `?` marks a field that may be absent.",
        *(part for title, union in directions for part in _direction(title, shape.members(union))),
        f"### LostReason\n\n{said(engine.LostReason)}\n\n"
        + ", ".join(f"`{reason.value}`" for reason in engine.LostReason)
        + ".",
    )


def _direction(title: str, messages: Iterable[type[shape.Model]]) -> list[str]:
    return [f"## {title}", *(_message(one) for one in messages)]


def _message(model: type[shape.Model], example: BaseModel | None = None) -> str:
    tag = next(one for one in shape.fields(model) if one.name == "type").shape.text.strip('"')
    rest = [one for one in shape.fields(model) if one.name != "type"]
    shown = _table(rest) if rest else "No fields but `type`."
    return document(f"### `{tag}`", said(model), shown, _json(example) if example else "").strip()


def _part(one: type) -> str:
    """A model with its fields, or a closed set with its words."""
    if issubclass(one, shape.Model):
        return f"### {one.__name__}\n\n{said(one)}\n\n{_fields(one)}"
    words = ", ".join(f"`{word.value}`" for word in one) if issubclass(one, StrEnum) else ""
    return f"### {one.__name__}\n\n{said(one)}\n\n{words}."


def _fields(model: type[shape.Model]) -> str:
    return _table(shape.fields(model))


def _table(fields: Iterable[shape.WireField]) -> str:
    return table(
        ["field", "type", "limits"],
        [(f"`{one.name}{'?' if one.optional else ''}`", f"`{_plain(one.shape.text)}`", one.limits) for one in fields],
    )


def _plain(text: str) -> str:
    """The type of what is there: that it may be absent is said by the `?`."""
    return text.removesuffix(" | null")


def _json(example: BaseModel) -> str:
    dumped = example.model_dump(mode="json", by_alias=True, exclude_none=True)
    return f"```json\n{json.dumps(dumped, ensure_ascii=False, indent=2)}\n```"
