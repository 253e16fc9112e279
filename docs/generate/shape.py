"""Reads the models of messages (pydantic's, and msgspec's on the pipe): their fields, as names and types on the wire."""

import types
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from msgspec import Struct, structs
from pydantic import BaseModel

Model = BaseModel | Struct


@dataclass(frozen=True, slots=True)
class Shape:
    """A field's type in the words of TypeScript; `names` are the models and enums it refers to."""

    text: str
    names: tuple[type, ...] = ()


@dataclass(frozen=True, slots=True)
class WireField:
    """A field as it travels. An optional one may be absent."""

    name: str
    shape: Shape
    optional: bool
    limits: str


def fields(model: type[Model]) -> list[WireField]:
    """The fields of a message in the order of their declaration, inherited ones first; its `type` leads."""
    if issubclass(model, Struct):
        tag = model.__struct_config__.tag
        own = [WireField(one.name, shape(one.type), not one.required, "") for one in structs.fields(model)]
        return [WireField("type", Shape(f'"{tag}"'), optional=False, limits=""), *own] if tag else own
    found = [
        WireField(
            field.serialization_alias or field.alias or name,
            shape(field.annotation),
            optional=not field.is_required() and not _is_tag(field.annotation),
            limits=_limits(field.metadata),
        )
        for name, field in model.model_fields.items()
    ]
    return sorted(found, key=lambda one: one.name != "type")


def members(union: object) -> list[type[Model]]:
    """The models of an `Annotated[A | B, ...]`."""
    inner = get_args(union)[0] if get_origin(union) is Annotated else union
    return list(get_args(inner) or (inner,))


def referred(roots: Iterable[type[Model]]) -> list[type]:
    """The models and enums that the roots are made of, and the roots themselves; a part comes before its whole."""
    found: dict[type, None] = {}

    def collect(one: type) -> None:
        if one in found:
            return
        if issubclass(one, Model):
            for field in fields(one):
                for name in field.shape.names:
                    collect(name)
        found[one] = None

    for root in roots:
        collect(root)
    return list(found)


def shape(annotation: Any) -> Shape:
    """Raises TypeError for a type that the wire does not know."""
    simple = {str: "string", int: "number", float: "number", bool: "boolean", type(None): "null"}
    if annotation in simple:
        return Shape(simple[annotation])
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return shape(arguments[0])
    if origin is Literal:
        return Shape(" | ".join(f'"{value}"' for value in arguments))
    if origin in {Union, types.UnionType}:
        parts = [shape(one) for one in arguments]
        return Shape(" | ".join(part.text for part in parts), tuple(name for part in parts for name in part.names))
    if origin in {list, tuple}:
        inner = shape(arguments[0])
        return Shape(f"{inner.text}[]", inner.names)
    if isinstance(annotation, type) and issubclass(annotation, Model | StrEnum):
        return Shape(annotation.__name__, (annotation,))
    raise TypeError(f"{annotation!r} has no shape on the wire")


def _is_tag(annotation: Any) -> bool:
    """A `type: Literal["x"] = "x"` has a default, and travels always."""
    return get_origin(annotation) is Literal and len(get_args(annotation)) == 1


def _limits(metadata: list[Any]) -> str:
    words = {"min_length": "at least {} characters", "max_length": "at most {} characters", "ge": "≥ {}", "le": "≤ {}"}
    said = [
        words[name].format(getattr(one, name))
        for one in metadata
        for name in words
        if getattr(one, name, None) is not None
    ]
    return ", ".join(said).replace("at least 1 characters", "not empty")
