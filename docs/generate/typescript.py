"""The page's types and its table of failures, from the same definitions that the server speaks."""

import json
from enum import StrEnum

from pydantic import BaseModel

from docs.generate import shape
from shared.core.failures import FAILURES, Act, FailureCode
from shared.core.lifecycle import State
from shared.core.protocol import ClientMessage, CloseCode, MessageType, Method, ServerMessage

_HEAD = "// Generated from shared/core/{} by `make docs`; do not edit."


def types() -> str:
    """The module `frontend/protocol.d.ts`."""
    found = shape.referred([ServerMessage, *shape.members(ClientMessage)])
    models = [one for one in found if issubclass(one, BaseModel)]
    named: list[type[StrEnum]] = [State, Method, MessageType, FailureCode, Act]
    words = dict.fromkeys([*named, *(one for one in found if issubclass(one, StrEnum))])
    parts = [
        _HEAD.format("protocol.py, shared/core/lifecycle.py and shared/core/failures.py")
        + "\n// What travels between browser and server. Times are milliseconds since the epoch, UTC.",
        *(_closed_set(one) for one in words),
        f"export type CloseCode = {' | '.join(str(code.value) for code in CloseCode)};",
        *(_interface(one) for one in models),
        f"export type ClientMessage = {' | '.join(one.__name__ for one in shape.members(ClientMessage))};",
    ]
    return "\n\n".join(parts) + "\n"


def failures() -> str:
    """The module `frontend/failures.generated.js`."""
    rows = [f'  "{code.value}": {json.dumps(one.act.value)},' for code, one in FAILURES.items()]
    types_of = 'import("./protocol.d.ts")'
    return "\n".join(
        [
            _HEAD.format("failures.py"),
            "",
            f"/** @type {{Record<{types_of}.FailureCode, {types_of}.Act>}} */",
            "export const FAILURES = {",
            *rows,
            "};",
            "",
        ]
    )


def _closed_set(words: type[StrEnum]) -> str:
    return f"export type {words.__name__} =\n" + "\n".join(f'  | "{word.value}"' for word in words) + ";"


def _interface(model: type[BaseModel]) -> str:
    lines = [f"export interface {model.__name__} {{"]
    lines += [f"  {one.name}{'?' if one.optional else ''}: {one.shape.text};" for one in shape.fields(model)]
    return "\n".join([*lines, "}"])
