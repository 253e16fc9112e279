"""The messages between browser and server: one definition, from which docs and the page's types are generated.

    -> hello                 the link token; answered by `status` with the present snapshot
    -> request-qr            start an attempt, or join the one that runs
    -> request-pairing-code  a code for this phone, on the attempt that runs or on a new one
    -> cancel                end the attempt before the phone has agreed
    <- status | qr-update | pairing-code | pairing-code-error | whatsapp-connected | error

`type` says what changed; the snapshot is always complete. All JSON is camelCase; times are milliseconds since the
epoch, UTC. Commands are idempotent: sent twice, they do what they do once.
"""

from enum import IntEnum, StrEnum
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter
from pydantic.alias_generators import to_camel

from shared.core.failures import FailureCode
from shared.core.fields import read_region
from shared.core.lifecycle import State

MAX_MESSAGE_BYTES = 4096
"""A longer message from a browser closes the socket with 1009."""
MAX_TOKEN_LENGTH = 3800
"""Leaves room for the rest of a hello."""


class Wire(BaseModel):
    """A message or a part of one: frozen, camelCase, without unknown fields."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="forbid")


class CloseCode(IntEnum):
    """The reason for which the server closes a socket."""

    TOO_LARGE = 1009
    RESTART = 1012
    TOKEN = 4401
    ORIGIN = 4403
    NO_HELLO = 4408
    TOO_MANY = 4429


class Method(StrEnum):
    """The way in which the owner's phone agrees."""

    QR = "qr"
    CODE = "code"


# --- browser → server -------------------------------------------------------------------------------------------------


class Hello(Wire):
    """The first message on a socket, within 5 s. `packed`: long answers may come as raw deflate in a binary message."""

    type: Literal["hello"]
    token: str = Field(min_length=1, max_length=MAX_TOKEN_LENGTH)
    locale: str | None = Field(default=None, max_length=35)
    packed: bool = False


class RequestQr(Wire):
    """Start an attempt, or join what runs."""

    type: Literal["request-qr"]


class RequestPairingCode(Wire):
    """A code for this phone: on the attempt that runs, or on a new one. `region` is the country in which the number is
    to be read, as the owner has chosen or seen it."""

    type: Literal["request-pairing-code"]
    phone_number: str = Field(max_length=64)
    region: Annotated[str, Field(pattern="^[A-Z]{2}$"), AfterValidator(read_region)] | None = None


class Cancel(Wire):
    """End the attempt, as long as the phone has not agreed."""

    type: Literal["cancel"]


ClientMessage = Annotated[Hello | RequestQr | RequestPairingCode | Cancel, Field(discriminator="type")]
client_message: TypeAdapter[Hello | RequestQr | RequestPairingCode | Cancel] = TypeAdapter(ClientMessage)


# --- the snapshot -----------------------------------------------------------------------------------------------------


class QrView(Wire):
    """The QR to show: its text, ready-made SVG, which of how many, and when the next one replaces it."""

    text: str
    svg: str
    number: int = Field(ge=1)
    of: int = Field(ge=1)
    expires_at: int


class CodeView(Wire):
    """The pairing code to show, `ABCD-EFGH`; `phone` is masked."""

    text: str
    expires_at: int
    phone: str


class Queue(Wire):
    """Number of onboardings that are served before this one."""

    position: int = Field(ge=0)


class Hint(StrEnum):
    """Advice while an attempt goes on. `no-answer`: three QRs have passed without an answer; the scan may fail on the
    phone without our hearing of it, so offer a fresh attempt, and the code."""

    NO_ANSWER = "no-answer"


class FailureView(Wire):
    """The reason of an ending, or of a code that could not be had. `retry_at`: the same may be tried again then (ms)."""

    code: FailureCode
    retryable: bool
    retry_at: int | None = None

    @classmethod
    def of(cls, code: FailureCode, retry_at: int | None = None) -> Self:
        """A failure as the page sees it."""
        return cls(code=code, retryable=code.row.retryable, retry_at=retry_at)


class DeviceView(Wire):
    """The linked device: the phone (masked), the device's name as the phone shows it, and since when."""

    phone: str
    name: str
    linked_at: int


class Body(Wire):
    """The part of a snapshot that Redis keeps as one JSON value; the version is kept beside it."""

    state: State
    method: Method | None = None
    deadline: int | None = None
    qr: QrView | None = None
    code: CodeView | None = None
    queue: Queue | None = None
    failure: FailureView | None = None
    hint: Hint | None = None
    device: DeviceView | None = None


class Snapshot(Body):
    """The whole present state of one session's onboarding. `(attempt, seq)` only grows; `server_now` is stamped on
    sending, so that clocks count down rightly on a computer whose own clock is wrong."""

    session_id: str
    attempt: int
    seq: int
    server_now: int


# --- server → browser -------------------------------------------------------------------------------------------------


class MessageType(StrEnum):
    """The kind of a change."""

    STATUS = "status"
    QR_UPDATE = "qr-update"
    PAIRING_CODE = "pairing-code"
    PAIRING_CODE_ERROR = "pairing-code-error"
    WHATSAPP_CONNECTED = "whatsapp-connected"
    ERROR = "error"


class ErrorView(Wire):
    """A refused command: the code, when it may be tried again, and the field at fault."""

    code: FailureCode
    retry_at: int | None = None
    field: str | None = None


class BrandView(Wire):
    """Look of the platform's page: the one colour of its buttons, `#rrggbb`, for light ground, and its logo."""

    accent: str | None = None
    logo_url: str | None = None


class Profile(Wire):
    """The platform and the company, as the link names them: shown by the page, decided by the integrator. `spent`:
    the link has linked a device; it may look, and ask again only if that was lost at once (`dropped-after-linking`).
    `region` is where numbers are at home if the page knows nothing better; `linkRegion` is there when the link itself
    says so. `refreshUrl` is where a link that works no more sends its owner."""

    company: str
    platform: str
    locale: str | None = None
    region: str
    return_url: str | None = None
    device_name: str
    phone_hint: str | None = None
    spent: bool = False
    link_region: str | None = None
    refresh_url: str | None = None
    support_url: str | None = None
    privacy_url: str | None = None
    brand: BrandView | None = None


class ServerMessage(Wire):
    """Every message to a browser. `profile` comes with the first answer on a socket. `returnUrl` comes with an end: the
    profile's, and how it ended, signed."""

    type: MessageType
    snapshot: Snapshot | None = None
    error: ErrorView | None = None
    profile: Profile | None = None
    return_url: str | None = None
