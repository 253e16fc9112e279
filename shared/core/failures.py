"""Failures of linking, as data: whose fault each is, what may be done, who hears of it.

The codes are a closed set that the page, the metrics, the docs and Sentry share. Their words for people are in
`frontend/locales/`, in every language.
"""

from enum import StrEnum
from typing import Self

from shared.core.datum import Datum


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
    """The time of the next try: at once, at `retryAt` (soon, if unknown), after something has changed, or never."""

    NOW = "now"
    LATER = "later"
    CHANGED = "changed"
    NEVER = "never"


class Failure(Datum):
    """One row of the catalogue.

    `retryable` says whether the same request can succeed later without anybody changing anything in our service or in
    the request; `alerts` whether Sentry hears of it. The mistakes of people page nobody.
    """

    blame: Blame
    retryable: bool
    act: Act
    alerts: bool
    again: Again


class FailureCode(StrEnum):
    """A failure code, in the words of the wire."""

    row: Failure  # of the catalogue

    def __new__(cls, word: str, *row: Failure) -> Self:
        made = str.__new__(cls, word)
        made._value_ = word
        (made.row,) = row
        return made

    INVALID_PHONE = "invalid-phone", Failure(Blame.OWNER, False, Act.FIX_PHONE, False, Again.CHANGED)
    IN_PROGRESS = "in-progress", Failure(Blame.OWNER, True, Act.WAIT, False, Again.LATER)
    COOL_DOWN = "cool-down", Failure(Blame.OWNER, True, Act.WAIT, False, Again.LATER)
    WHATSAPP_RATE_LIMITED = "whatsapp-rate-limited", Failure(Blame.WHATSAPP, True, Act.USE_QR, False, Again.LATER)
    CODE_NOT_AVAILABLE = "code-not-available", Failure(Blame.WHATSAPP, False, Act.USE_QR, False, Again.CHANGED)
    CLIENT_OUTDATED = "client-outdated", Failure(Blame.US, True, Act.WAIT, False, Again.LATER)
    PASSKEY_REQUIRED = "passkey-required", Failure(Blame.WHATSAPP, False, Act.SUPPORT, False, Again.CHANGED)
    MULTIDEVICE_OFF = "multidevice-off", Failure(Blame.OWNER, True, Act.RETRY, False, Again.CHANGED)
    WRONG_NUMBER = "wrong-number", Failure(Blame.OWNER, True, Act.RETRY, False, Again.NOW)
    LINKED_ELSEWHERE = "linked-elsewhere", Failure(Blame.OWNER, False, Act.FIX_PHONE, False, Again.CHANGED)
    PAIRING_REFUSED = "pairing-refused", Failure(Blame.WHATSAPP, True, Act.RETRY, False, Again.NOW)
    TEMPORARILY_BANNED = "temporarily-banned", Failure(Blame.WHATSAPP, True, Act.WAIT, False, Again.LATER)
    ACCOUNT_RESTRICTED = "account-restricted", Failure(Blame.WHATSAPP, True, Act.RETRY, False, Again.CHANGED)
    LOGGED_OUT = "logged-out", Failure(Blame.OWNER, True, Act.RETRY, False, Again.NOW)
    DROPPED_AFTER_LINKING = "dropped-after-linking", Failure(Blame.WHATSAPP, True, Act.RETRY, True, Again.NOW)
    CONNECTION_FAILED = "connection-failed", Failure(Blame.WHATSAPP, True, Act.RETRY, True, Again.NOW)
    WORKER_LOST = "worker-lost", Failure(Blame.US, True, Act.RETRY, True, Again.NOW)
    PAUSED = "paused", Failure(Blame.US, True, Act.WAIT, False, Again.LATER)
    NO_ROOM = "no-room", Failure(Blame.US, True, Act.WAIT, True, Again.LATER)
    LINK_SPENT = "link-spent", Failure(Blame.OWNER, False, Act.NEW_LINK, False, Again.NEVER)
    FORBIDDEN = "forbidden", Failure(Blame.OWNER, False, Act.NEW_LINK, False, Again.NEVER)
    INTERNAL = "internal", Failure(Blame.US, True, Act.RETRY, True, Again.NOW)


FAILURES: dict[FailureCode, Failure] = {code: code.row for code in FailureCode}


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
