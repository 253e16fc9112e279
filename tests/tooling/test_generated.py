"""What is derived from the code is fresh, complete and true."""

import re
from enum import StrEnum
from pathlib import Path
from typing import Literal

import pytest
from pydantic import BaseModel, Field, TypeAdapter

import docs.generate
from docs.generate import examples, failures, lifecycle, protocol, shape, typescript
from shared.core.failures import FailureCode
from shared.core.lifecycle import State
from shared.core.protocol import ClientMessage, CloseCode, MessageType, ServerMessage

ROOT = Path(__file__).parents[2]


def test_generated_files_are_fresh():
    assert docs.generate.stale() == [], "run `make docs` and commit"


def test_a_file_that_was_touched_or_is_missing_is_stale_until_written(tmp_path):
    assert docs.generate.stale(tmp_path) == list(docs.generate.FILES)
    docs.generate.write(tmp_path)
    assert docs.generate.stale(tmp_path) == []
    page = tmp_path / "docs" / "failures.md"
    page.write_text(page.read_text() + "by hand\n")
    assert docs.generate.write(tmp_path) == ["docs/failures.md"]
    assert docs.generate.stale(tmp_path) == []


def test_the_examples_of_the_protocol_are_messages():
    page = (ROOT / "docs" / "protocol.md").read_text()
    commands, answers = page.split("## Server → browser")
    examples = [re.findall(r"```json\n(.*?)```", part, re.DOTALL) for part in (commands, answers)]
    assert all(examples)
    for one in examples[0]:
        TypeAdapter(ClientMessage).validate_json(one)
    for one in examples[1]:
        ServerMessage.model_validate_json(one)


def test_words_exist_for_every_member_of_every_closed_set():
    assert set(lifecycle.MEANING) == set(State)
    assert set(failures.MEANING) == set(FailureCode)
    assert set(examples.WHEN) == set(MessageType)
    assert set(examples.CLOSED) == set(CloseCode)
    assert set(examples.server()) == set(MessageType)
    assert set(examples.CLIENT) == set(shape.members(ClientMessage))


def test_the_pages_types_name_what_the_page_imports():
    text = typescript.types()
    names = (
        "State Method MessageType FailureCode Act CloseCode QrView CodeView Queue FailureView DeviceView Snapshot ErrorView "
        "Profile ServerMessage Hello RequestQr RequestPairingCode Cancel ClientMessage"
    )
    for name in names.split():
        assert f"export type {name} =" in text or f"export interface {name} {{" in text
    assert "  expiresAt: number;" in text
    assert "  retryAt?: number | null;" in text
    assert '  type: "request-pairing-code";' in text
    assert "expires_at" not in text


class Colour(StrEnum):
    RED = "red"


class Inner(BaseModel):
    colour: Colour


class Outer(BaseModel):
    inner: list[Inner] | None = None
    tag: Literal["outer"] = "outer"
    number: int = Field(ge=1, le=9)


def test_a_models_fields_are_read_as_they_travel():
    inner, tag, number = shape.fields(Outer)
    assert (inner.name, inner.shape.text, inner.optional) == ("inner", "Inner[] | null", True)
    assert inner.shape.names == (Inner,)
    assert shape.referred([Outer]) == [Colour, Inner, Outer]
    assert (tag.shape.text, tag.optional) == ('"outer"', False)
    assert (number.shape.text, number.optional, number.limits) == ("number", False, "≥ 1, ≤ 9")


def test_a_type_that_the_wire_does_not_know_is_refused():
    with pytest.raises(TypeError, match="complex"):
        shape.shape(complex)


def test_a_bar_in_a_cell_does_not_break_the_table():
    assert '`"qr" \\| "code"`' in protocol._table([shape.WireField("a", shape.Shape('"qr" | "code"'), False, "")])
