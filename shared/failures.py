"""Every way in which linking can fail, as data: whose fault, what may be done, who hears of it.

The codes are a closed set that the page, the metrics, the docs and Sentry share. The words for people live in
`frontend/locales/`; a test proves that each code has a sentence in every language.
"""

from dataclasses import dataclass
from enum import StrEnum


class FailureCode(StrEnum):
    """What went wrong, in the words of the wire."""

    INVALID_PHONE = "invalid-phone"
    IN_PROGRESS = "in-progress"
    COOL_DOWN = "cool-down"
    WHATSAPP_RATE_LIMITED = "whatsapp-rate-limited"
    CODE_NOT_AVAILABLE = "code-not-available"
    CLIENT_OUTDATED = "client-outdated"
    PASSKEY_REQUIRED = "passkey-required"
    MULTIDEVICE_OFF = "multidevice-off"
    WRONG_NUMBER = "wrong-number"
    PAIRING_REFUSED = "pairing-refused"
    TEMPORARILY_BANNED = "temporarily-banned"
    LOGGED_OUT = "logged-out"
    DROPPED_AFTER_LINKING = "dropped-after-linking"
    CONNECTION_FAILED = "connection-failed"
    WORKER_LOST = "worker-lost"
    PAUSED = "paused"
    LINK_SPENT = "link-spent"
    FORBIDDEN = "forbidden"
    INTERNAL = "internal"


class Blame(StrEnum):
    """Who can change it: the owner, WhatsApp's servers, or we."""

    OWNER = "owner"
    WHATSAPP = "whatsapp"
    US = "us"


class Act(StrEnum):
    """The next step that the page offers for a failure."""

    RETRY = "retry"
    USE_QR = "use-qr"
    FIX_PHONE = "fix-phone"
    WAIT = "wait"
    NEW_LINK = "new-link"
    SUPPORT = "support"


@dataclass(frozen=True, slots=True)
class Failure:
    """One row of the catalogue.

    `retryable` says whether the same request can succeed later without anybody changing anything; `alerts` whether
    Sentry hears of it. The mistakes of people page nobody.
    """

    blame: Blame
    retryable: bool
    act: Act
    alerts: bool


FAILURES: dict[FailureCode, Failure] = {
    FailureCode.INVALID_PHONE: Failure(Blame.OWNER, False, Act.FIX_PHONE, False),
    FailureCode.IN_PROGRESS: Failure(Blame.OWNER, True, Act.WAIT, False),
    FailureCode.COOL_DOWN: Failure(Blame.OWNER, True, Act.WAIT, False),
    FailureCode.WHATSAPP_RATE_LIMITED: Failure(Blame.WHATSAPP, True, Act.USE_QR, False),
    FailureCode.CODE_NOT_AVAILABLE: Failure(Blame.WHATSAPP, False, Act.USE_QR, False),
    FailureCode.CLIENT_OUTDATED: Failure(Blame.US, False, Act.SUPPORT, True),
    FailureCode.PASSKEY_REQUIRED: Failure(Blame.WHATSAPP, False, Act.SUPPORT, False),
    FailureCode.MULTIDEVICE_OFF: Failure(Blame.OWNER, True, Act.RETRY, False),
    FailureCode.WRONG_NUMBER: Failure(Blame.OWNER, True, Act.RETRY, False),
    FailureCode.PAIRING_REFUSED: Failure(Blame.WHATSAPP, True, Act.RETRY, False),
    FailureCode.TEMPORARILY_BANNED: Failure(Blame.WHATSAPP, True, Act.WAIT, False),
    FailureCode.LOGGED_OUT: Failure(Blame.OWNER, True, Act.RETRY, False),
    FailureCode.DROPPED_AFTER_LINKING: Failure(Blame.WHATSAPP, True, Act.RETRY, True),
    FailureCode.CONNECTION_FAILED: Failure(Blame.WHATSAPP, True, Act.RETRY, True),
    FailureCode.WORKER_LOST: Failure(Blame.US, True, Act.RETRY, True),
    FailureCode.PAUSED: Failure(Blame.US, True, Act.WAIT, False),
    FailureCode.LINK_SPENT: Failure(Blame.OWNER, False, Act.NEW_LINK, False),
    FailureCode.FORBIDDEN: Failure(Blame.OWNER, False, Act.NEW_LINK, False),
    FailureCode.INTERNAL: Failure(Blame.US, True, Act.RETRY, True),
}


class Refused(Exception):
    """A command that cannot be done, told to the browser as a typed error.

    `field` names the field of the message that is at fault; `retry_at` is the moment (ms since the epoch) from which
    the same command may succeed.
    """

    def __init__(self, code: FailureCode, *, field: str | None = None, retry_at: int | None = None) -> None:
        super().__init__(code.value)
        self.code = code
        self.field = field
        self.retry_at = retry_at
