"""Every way in which linking can fail, as data: whose fault, what may be done, who hears of it.

The codes are a closed set that the page, the metrics, the docs and Sentry share. The words for people live in
`frontend/locales/`; a test proves that each code has a sentence in every language.
"""

from dataclasses import dataclass
from enum import StrEnum


class FailureCode(StrEnum):
    """A failure code, in the words of the wire."""

    INVALID_PHONE = "invalid-phone"
    IN_PROGRESS = "in-progress"
    COOL_DOWN = "cool-down"
    WHATSAPP_RATE_LIMITED = "whatsapp-rate-limited"
    CODE_NOT_AVAILABLE = "code-not-available"
    CLIENT_OUTDATED = "client-outdated"
    PASSKEY_REQUIRED = "passkey-required"
    MULTIDEVICE_OFF = "multidevice-off"
    WRONG_NUMBER = "wrong-number"
    LINKED_ELSEWHERE = "linked-elsewhere"
    PAIRING_REFUSED = "pairing-refused"
    TEMPORARILY_BANNED = "temporarily-banned"
    ACCOUNT_RESTRICTED = "account-restricted"
    LOGGED_OUT = "logged-out"
    DROPPED_AFTER_LINKING = "dropped-after-linking"
    CONNECTION_FAILED = "connection-failed"
    WORKER_LOST = "worker-lost"
    PAUSED = "paused"
    NO_ROOM = "no-room"
    LINK_SPENT = "link-spent"
    FORBIDDEN = "forbidden"
    INTERNAL = "internal"


class Blame(StrEnum):
    """The side that can change it: the owner, WhatsApp's servers, or we."""

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


class Again(StrEnum):
    """When the same may be tried again: at once, at `retryAt` (shortly, when that is not known), when something has
    been changed, or not at all."""

    NOW = "now"
    LATER = "later"
    CHANGED = "changed"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Failure:
    """One row of the catalogue.

    `retryable` says whether the same request can succeed later without anybody changing anything in our service or in
    the request; `alerts` whether Sentry hears of it. The mistakes of people page nobody.
    """

    blame: Blame
    retryable: bool
    act: Act
    alerts: bool
    again: Again


FAILURES: dict[FailureCode, Failure] = {
    FailureCode.INVALID_PHONE: Failure(Blame.OWNER, False, Act.FIX_PHONE, False, Again.CHANGED),
    FailureCode.IN_PROGRESS: Failure(Blame.OWNER, True, Act.WAIT, False, Again.LATER),
    FailureCode.COOL_DOWN: Failure(Blame.OWNER, True, Act.WAIT, False, Again.LATER),
    FailureCode.WHATSAPP_RATE_LIMITED: Failure(Blame.WHATSAPP, True, Act.USE_QR, False, Again.LATER),
    FailureCode.CODE_NOT_AVAILABLE: Failure(Blame.WHATSAPP, False, Act.USE_QR, False, Again.CHANGED),
    FailureCode.CLIENT_OUTDATED: Failure(Blame.US, True, Act.WAIT, False, Again.LATER),
    FailureCode.PASSKEY_REQUIRED: Failure(Blame.WHATSAPP, False, Act.SUPPORT, False, Again.CHANGED),
    FailureCode.MULTIDEVICE_OFF: Failure(Blame.OWNER, True, Act.RETRY, False, Again.CHANGED),
    FailureCode.WRONG_NUMBER: Failure(Blame.OWNER, True, Act.RETRY, False, Again.NOW),
    FailureCode.LINKED_ELSEWHERE: Failure(Blame.OWNER, False, Act.FIX_PHONE, False, Again.CHANGED),
    FailureCode.PAIRING_REFUSED: Failure(Blame.WHATSAPP, True, Act.RETRY, False, Again.NOW),
    FailureCode.TEMPORARILY_BANNED: Failure(Blame.WHATSAPP, True, Act.WAIT, False, Again.LATER),
    FailureCode.ACCOUNT_RESTRICTED: Failure(Blame.WHATSAPP, True, Act.RETRY, False, Again.CHANGED),
    FailureCode.LOGGED_OUT: Failure(Blame.OWNER, True, Act.RETRY, False, Again.NOW),
    FailureCode.DROPPED_AFTER_LINKING: Failure(Blame.WHATSAPP, True, Act.RETRY, True, Again.NOW),
    FailureCode.CONNECTION_FAILED: Failure(Blame.WHATSAPP, True, Act.RETRY, True, Again.NOW),
    FailureCode.WORKER_LOST: Failure(Blame.US, True, Act.RETRY, True, Again.NOW),
    FailureCode.PAUSED: Failure(Blame.US, True, Act.WAIT, False, Again.LATER),
    FailureCode.NO_ROOM: Failure(Blame.US, True, Act.WAIT, True, Again.LATER),
    FailureCode.LINK_SPENT: Failure(Blame.OWNER, False, Act.NEW_LINK, False, Again.NEVER),
    FailureCode.FORBIDDEN: Failure(Blame.OWNER, False, Act.NEW_LINK, False, Again.NEVER),
    FailureCode.INTERNAL: Failure(Blame.US, True, Act.RETRY, True, Again.NOW),
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
