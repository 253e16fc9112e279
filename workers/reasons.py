"""WhatsApp's and the library's words, translated once into failure codes and acts. What is unknown is `internal`."""

from dataclasses import dataclass
from enum import StrEnum

from shared.failures import FAILURES, FailureCode
from shared.protocol import FailureView
from workers.engine.protocol import LostReason


class Verdict(StrEnum):
    """What a word means for the attempt."""

    GO_ON = "go-on"
    AGAIN = "again"  # a fresh attempt may succeed at once
    USED_UP = "used-up"  # the QR rotation, or the connection, has come to its end
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Reason:
    """A verdict, and the failure when it fails."""

    verdict: Verdict
    code: FailureCode = FailureCode.INTERNAL


#: Login-status words (facts: docs/adr/0003). `success` is followed by a message of its own; `error` is a pairing that
#: the client refused, as after a wrong code, when every QR of this connection is dead.
_WORDS: dict[str, Reason] = {
    "success": Reason(Verdict.GO_ON),
    "timeout": Reason(Verdict.USED_UP),
    "error": Reason(Verdict.AGAIN, FailureCode.PAIRING_REFUSED),
    "err-client-outdated": Reason(Verdict.FAIL, FailureCode.CLIENT_OUTDATED),
    "err-unexpected-state": Reason(Verdict.FAIL, FailureCode.PAIRING_REFUSED),
    "err-scanned-without-multidevice": Reason(Verdict.FAIL, FailureCode.MULTIDEVICE_OFF),
    "passkey-request": Reason(Verdict.FAIL, FailureCode.PASSKEY_REQUIRED),
    "passkey-confirmation": Reason(Verdict.FAIL, FailureCode.PASSKEY_REQUIRED),
}

#: WhatsApp's answers to a request for a code. 400 is also its throttle for a number, and 452 says "use the QR".
_CODE_STATUS: dict[int, FailureCode] = {
    400: FailureCode.CODE_NOT_AVAILABLE,
    403: FailureCode.CODE_NOT_AVAILABLE,
    429: FailureCode.WHATSAPP_RATE_LIMITED,
    452: FailureCode.CODE_NOT_AVAILABLE,
    500: FailureCode.CONNECTION_FAILED,
}

_LOST: dict[LostReason, FailureCode] = {
    LostReason.LOGGED_OUT: FailureCode.LOGGED_OUT,
    LostReason.MAIN_DEVICE_GONE: FailureCode.LOGGED_OUT,
    LostReason.REPLACED: FailureCode.INTERNAL,
    LostReason.BANNED: FailureCode.TEMPORARILY_BANNED,
    LostReason.OUTDATED: FailureCode.CLIENT_OUTDATED,
    LostReason.REFUSED: FailureCode.CONNECTION_FAILED,
    LostReason.START_FAILED: FailureCode.CONNECTION_FAILED,
}


def of_word(word: str) -> Reason:
    """What a login-status word means."""
    return _WORDS.get(word, Reason(Verdict.FAIL))


def of_code_refusal(status: int | None) -> FailureCode:
    """Why no code could be had; no status means that WhatsApp did not answer at all."""
    if status is None:
        return FailureCode.CONNECTION_FAILED
    return _CODE_STATUS.get(status, FailureCode.CODE_NOT_AVAILABLE)


def of_loss(reason: LostReason) -> FailureCode:
    """Why a held session is gone."""
    return _LOST[reason]


def view(code: FailureCode, *, retry_at: int | None = None) -> FailureView:
    """A failure as the page sees it."""
    return FailureView(code=code, retryable=FAILURES[code].retryable, retry_at=retry_at)
