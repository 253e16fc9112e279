"""One real message of each kind, made by the models themselves, and what the tables say beside them."""

from pydantic import BaseModel

from shared.core.failures import FAILURES, FailureCode
from shared.core.lifecycle import State
from shared.core.phone import masked
from shared.core.protocol import (
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
)

NOW = 1_780_000_000_000
PHONE = masked("+79001234567")

CLIENT: dict[type, BaseModel] = {
    Hello: Hello(type="hello", token="eyJhbGciOiJIUzI1NiJ9.e30.…", locale="ru"),  # noqa: S106 - an example
    RequestQr: RequestQr(type="request-qr"),
    RequestPairingCode: RequestPairingCode(type="request-pairing-code", phone_number="8 900 123-45-67"),
    Cancel: Cancel(type="cancel"),
}

WHEN: dict[MessageType, str] = {
    MessageType.STATUS: "the answer to `hello`; joined, queued, connecting, linking, expired, cancelled, reconnecting, "
    "unlinked",
    MessageType.QR_UPDATE: "a new QR to show",
    MessageType.PAIRING_CODE: "a code to show",
    MessageType.PAIRING_CODE_ERROR: "the code could not be had; the QR, if there is one, stays",
    MessageType.WHATSAPP_CONNECTED: "linked",
    MessageType.ERROR: "a refused command (`error`), or a failed attempt (`snapshot.failure`)",
}

CLOSED: dict[CloseCode, str] = {
    CloseCode.TOO_LARGE: "a message was too large",
    CloseCode.RESTART: "the server restarts: connect again, the snapshot is safe",
    CloseCode.TOKEN: "the link's token is bad, expired or revoked",
    CloseCode.ORIGIN: "the page's origin is not allowed. Refused before it is accepted: a client gets HTTP 403, a browser "
    "tells its page nothing but 1006",
    CloseCode.NO_HELLO: "no `hello` in time",
    CloseCode.TOO_MANY: "too many sockets or messages",
}


def server() -> dict[MessageType, ServerMessage]:
    """One message for each type."""
    qr = QrView(text="2@k1dPq…", svg="<svg …/>", number=2, of=6, expires_at=NOW + 20_000)
    code = CodeView(text="K7QX-2MHD", expires_at=NOW + 150_000, phone=PHONE)
    refused = FailureView(
        code=FailureCode.CODE_NOT_AVAILABLE, retryable=FAILURES[FailureCode.CODE_NOT_AVAILABLE].retryable
    )
    device = DeviceView(phone=PHONE, name="Booking assistant", linked_at=NOW)
    profile = Profile(
        company="Salon Aurora", platform="Platform", locale="ru", region="RU", device_name="Booking assistant"
    )
    waiting = _snapshot(1, State.QUEUED, method=Method.QR, deadline=NOW + 180_000, queue=Queue(position=3))
    with_qr = _snapshot(4, State.AWAITING_PHONE, method=Method.QR, deadline=NOW + 150_000, qr=qr)
    with_both = _snapshot(5, State.AWAITING_PHONE, method=Method.CODE, deadline=NOW + 150_000, qr=qr, code=code)
    without_code = _snapshot(5, State.AWAITING_PHONE, method=Method.QR, deadline=NOW + 150_000, qr=qr, failure=refused)
    return {
        MessageType.STATUS: ServerMessage(type=MessageType.STATUS, snapshot=waiting, profile=profile),
        MessageType.QR_UPDATE: ServerMessage(type=MessageType.QR_UPDATE, snapshot=with_qr),
        MessageType.PAIRING_CODE: ServerMessage(type=MessageType.PAIRING_CODE, snapshot=with_both),
        MessageType.PAIRING_CODE_ERROR: ServerMessage(type=MessageType.PAIRING_CODE_ERROR, snapshot=without_code),
        MessageType.WHATSAPP_CONNECTED: ServerMessage(
            type=MessageType.WHATSAPP_CONNECTED, snapshot=_snapshot(7, State.LINKED, device=device)
        ),
        MessageType.ERROR: ServerMessage(
            type=MessageType.ERROR, error=ErrorView(code=FailureCode.INVALID_PHONE, field="phoneNumber")
        ),
    }


def _snapshot(
    seq: int,
    state: State,
    *,
    method: Method | None = None,
    deadline: int | None = None,
    qr: QrView | None = None,
    code: CodeView | None = None,
    queue: Queue | None = None,
    failure: FailureView | None = None,
    device: DeviceView | None = None,
) -> Snapshot:
    return Snapshot(
        session_id="company_demo",
        attempt=1,
        seq=seq,
        server_now=NOW,
        state=state,
        method=method,
        deadline=deadline,
        qr=qr,
        code=code,
        queue=queue,
        failure=failure,
        device=device,
    )
