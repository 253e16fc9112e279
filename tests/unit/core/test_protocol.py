"""What travels: nothing unknown gets in, nothing is lost, all JSON is camelCase."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as some
from pydantic import ValidationError

from shared.core.failures import FailureCode
from shared.core.lifecycle import State
from shared.core.protocol import (
    MAX_MESSAGE_BYTES,
    Body,
    Cancel,
    CloseCode,
    CodeView,
    DeviceView,
    ErrorView,
    FailureView,
    Hello,
    MessageType,
    Method,
    Profile,
    QrView,
    Queue,
    RequestPairingCode,
    RequestQr,
    ServerMessage,
    Snapshot,
    client_message,
)
from tests.each import each

FULL = Snapshot(
    state=State.AWAITING_PHONE,
    method=Method.CODE,
    deadline=1,
    qr=QrView(text="2@x", svg="<svg/>", number=1, of=6, expires_at=2),
    code=CodeView(text="ABCD-EFGH", expires_at=3, phone="+7 •••••• 45 67"),
    queue=Queue(position=0),
    failure=FailureView(code=FailureCode.COOL_DOWN, retryable=True, retry_at=4),
    device=DeviceView(phone="+7 •••••• 45 67", name="Booking assistant", linked_at=5),
    session_id="company_1",
    attempt=6,
    seq=7,
    server_now=8,
)


@each(
    ("text", "message"),
    [
        ('{"type":"hello","token":"t"}', Hello(type="hello", token="t")),
        ('{"type":"hello","token":"t","locale":"ru"}', Hello(type="hello", token="t", locale="ru")),
        ('{"type":"request-qr"}', RequestQr(type="request-qr")),
        (
            '{"type":"request-pairing-code","phoneNumber":"8 900 123-45-67"}',
            RequestPairingCode(type="request-pairing-code", phone_number="8 900 123-45-67"),
        ),
        ('{"type":"cancel"}', Cancel(type="cancel")),
    ],
)
def test_every_message_of_a_browser_is_understood(text, message):
    assert client_message.validate_json(text) == message


@each(
    "text",
    [
        "",
        "null",
        "[]",
        '"cancel"',
        "{}",
        "{",
        '{"type":null}',
        '{"type":"Cancel"}',
        '{"type":"status"}',
        '{"type":["cancel"]}',
        '{"type":"cancel","extra":1}',
        '{"type":"cancel","session":"company_2"}',
        '{"type":"request-qr","phoneNumber":"8"}',
        '{"type":"hello"}',
        '{"type":"hello","token":""}',
        '{"type":"hello","token":5}',
        '{"type":"hello","token":"t","locale":["ru"]}',
        f'{{"type":"hello","token":"{"t" * 3801}"}}',
        f'{{"type":"hello","token":"t","locale":"{"r" * 36}"}}',
        '{"type":"request-pairing-code"}',
        '{"type":"request-pairing-code","phoneNumber":null}',
        '{"type":"request-pairing-code","phoneNumber":"8","region":"XX"}',
        '{"type":"request-pairing-code","phoneNumber":"8","region":"mx"}',
        '{"type":"request-pairing-code","phoneNumber":89001234567}',
        '{"type":"request-pairing-code","phoneNumber":{"a":1}}',
        f'{{"type":"request-pairing-code","phoneNumber":"{"8" * 65}"}}',
        '{"type":"request-pairing-code","phoneNumber":"\\ud800"}',
        "[" * 4000,
        '{"a":' * 600,
    ],
    ids=lambda text: text[:40],
)
def test_every_unknown_message_raises_the_same_kind_of_error(text):
    with pytest.raises(ValidationError):
        client_message.validate_json(text)


@given(
    some.recursive(
        some.none() | some.booleans() | some.integers() | some.text(),
        lambda one: some.lists(one) | some.dictionaries(some.text(), one),
    )
)
def test_any_json_is_a_message_or_is_refused(value):
    with pytest.raises(ValidationError):
        client_message.validate_python(value)


@given(some.text(max_size=200))
def test_any_text_is_a_message_or_is_refused(text):
    with pytest.raises(ValidationError):
        client_message.validate_json(text)


def camel_case(value):
    if isinstance(value, dict):
        return all(key[0].islower() and "_" not in key and camel_case(one) for key, one in value.items())
    return not isinstance(value, list) or all(map(camel_case, value))


def test_a_snapshot_travels_in_camel_case_and_comes_back_the_same():
    text = FULL.model_dump_json(by_alias=True, exclude_none=True)
    assert Snapshot.model_validate_json(text) == FULL
    assert camel_case(json.loads(text))
    assert json.loads(text)["qr"]["expiresAt"] == 2
    assert json.loads(text)["failure"] == {"code": "cool-down", "retryable": True, "retryAt": 4}


def test_absent_fields_are_left_out():
    bare = Snapshot(state=State.UNLINKED, session_id="company_1", attempt=0, seq=0, server_now=1)
    said = json.loads(bare.model_dump_json(by_alias=True, exclude_none=True))
    assert said == {"state": "unlinked", "sessionId": "company_1", "attempt": 0, "seq": 0, "serverNow": 1}


@each("kind", MessageType)
def test_a_message_of_the_server_comes_back_the_same(kind):
    error = ErrorView(code=FailureCode.IN_PROGRESS, field="phoneNumber", retry_at=1)
    profile = Profile(company="Salon", platform="P", region="RU", device_name="D", return_url="https://x.example/")
    message = ServerMessage(type=kind, snapshot=FULL, error=error, profile=profile)
    text = message.model_dump_json(by_alias=True, exclude_none=True)
    assert ServerMessage.model_validate_json(text) == message
    assert camel_case(json.loads(text))


def test_messages_cannot_be_changed():
    with pytest.raises(ValidationError):
        setattr(FULL, "seq", 9)  # noqa: B010 - mypy knows that it cannot be done


def test_a_body_with_something_unknown_is_refused():
    with pytest.raises(ValidationError):
        Body.model_validate_json('{"state":"linked","phone":"+79001234567"}')


@each("bad", [{"number": 0}, {"of": 0}, {"text": None}, {"expires_at": "soon"}])
def test_a_qr_with_an_impossible_number_is_refused(bad):
    with pytest.raises(ValidationError):
        QrView.model_validate({"text": "t", "svg": "s", "number": 1, "of": 6, "expires_at": 1} | bad)


def test_the_words_on_the_wire_are_those_of_the_contract():
    assert {one.value for one in MessageType} == {
        "status",
        "qr-update",
        "pairing-code",
        "pairing-code-error",
        "whatsapp-connected",
        "error",
    }
    assert {one.value for one in CloseCode} == {1009, 1012, 4401, 4403, 4408, 4429}
    assert MAX_MESSAGE_BYTES == 4096
