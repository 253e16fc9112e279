"""WhatsApp's and the library's words, translated once into failure codes and acts. What is unknown is `internal`.

Everything that is raw comes through here: login-status words, refusals of a code, refusals of a login, the text of an
error, the loss of a held session. The raw word goes to the log and, where somebody of us must hear of it, to Sentry.
"""

import re
from enum import StrEnum

from shared.core.datum import Datum
from shared.core.failures import FailureCode
from shared.core.messages import Fate, MessageState, NotSent
from shared.telemetry import scrub
from workers.engine.protocol import LostReason

MOST_SAID = 200
"""Most characters of WhatsApp's own words that reach the timeline."""


class Verdict(StrEnum):
    GO_ON = "go-on"
    AGAIN = "again"  # a fresh attempt may succeed at once
    USED_UP = "used-up"  # the QR rotation, or the connection, has come to its end
    FAIL = "fail"
    OUTDATED = "outdated"  # a fresh attempt may succeed with a newer version of the client


class WordMeaning(Datum):
    """A verdict, and the failure when it fails."""

    verdict: Verdict
    code: FailureCode = FailureCode.INTERNAL


#: Login-status words (facts: docs/adr/0003). `success` is followed by a message of its own; `error` is a pairing that
#: the client refused, as after a wrong code, when every QR of this connection is dead. `err-unexpected-state` stands
#: for 400, 401, 402 and 403 of a client that is not linked: the library does not tell them apart.
_WORDS: dict[str, WordMeaning] = {
    "success": WordMeaning(Verdict.GO_ON),
    "timeout": WordMeaning(Verdict.USED_UP, FailureCode.CONNECTION_FAILED),
    "error": WordMeaning(Verdict.AGAIN, FailureCode.PAIRING_REFUSED),
    "err-client-outdated": WordMeaning(Verdict.OUTDATED, FailureCode.CLIENT_OUTDATED),
    "err-unexpected-state": WordMeaning(Verdict.FAIL, FailureCode.PAIRING_REFUSED),
    "err-scanned-without-multidevice": WordMeaning(Verdict.FAIL, FailureCode.MULTIDEVICE_OFF),
    "passkey-request": WordMeaning(Verdict.FAIL, FailureCode.PASSKEY_REQUIRED),
    "passkey-confirmation": WordMeaning(Verdict.FAIL, FailureCode.PASSKEY_REQUIRED),
}


class CodeRefusal(Datum):
    """The reason for which no code could be had. `throttle`: asking again soon makes it worse, so the asker has to wait."""

    code: FailureCode
    throttle: bool = False


#: WhatsApp's answers to a request for a code. 400 is also its throttle for a number, and 452 says "use the QR".
_CODE_STATUS: dict[int, CodeRefusal] = {
    400: CodeRefusal(FailureCode.CODE_NOT_AVAILABLE, throttle=True),
    403: CodeRefusal(FailureCode.CODE_NOT_AVAILABLE, throttle=True),
    429: CodeRefusal(FailureCode.WHATSAPP_RATE_LIMITED, throttle=True),
    452: CodeRefusal(FailureCode.CODE_NOT_AVAILABLE, throttle=True),
    500: CodeRefusal(FailureCode.CONNECTION_FAILED),
    503: CodeRefusal(FailureCode.CONNECTION_FAILED),
}

#: A held session that is gone. `replaced`: the same keys log in elsewhere, so somebody runs us twice: a fault of ours.
_LOST: dict[LostReason, FailureCode] = {
    LostReason.LOGGED_OUT: FailureCode.LOGGED_OUT,
    LostReason.RESTRICTED: FailureCode.ACCOUNT_RESTRICTED,
    LostReason.REPLACED: FailureCode.INTERNAL,
    LostReason.BANNED: FailureCode.TEMPORARILY_BANNED,
    LostReason.OUTDATED: FailureCode.CLIENT_OUTDATED,
    LostReason.REFUSED: FailureCode.CONNECTION_FAILED,
    LostReason.START_FAILED: FailureCode.CONNECTION_FAILED,
}

#: The first login after the phone has agreed. Whatever ends it before it began is a pairing that WhatsApp took back.
_FIRST_LOGIN = _LOST | dict.fromkeys((LostReason.LOGGED_OUT, LostReason.REFUSED), FailureCode.PAIRING_REFUSED)

#: Texts of the library, and of our own clocks in the linker, that speak of the network.
_NETWORK = re.compile(
    r"dial|connect|websocket|handshake|proxy|\bEOF\b|time(?:d )?out|timeout|reset|refused|no such host|network|\bi/o\b"
    r"|TLS|x509|certificate|HTTP|status code|broken pipe|closed|within \d+ s",
    re.IGNORECASE,
)

#: Words of a holder (workers/engine/child/texts.py) and of the library for a text that has not left. It may be sent again.
_NOT_YET = re.compile(
    r"^(?:not held|not connected|stopped)$|websocket (?:not connected|disconnected) before info query"
    r"|failed to get (?:device list|user info|LID)",
    re.IGNORECASE,
)
_NOBODY = re.compile(r"no LID found for", re.IGNORECASE)
_NOT_A_MEMBER = re.compile(r"failed to get group members", re.IGNORECASE)
_ANSWERED = re.compile(r"server returned error (\d+)", re.IGNORECASE)
_TOO_MANY = frozenset({420, 429})


def of_word(word: str) -> WordMeaning:
    return _WORDS.get(word, WordMeaning(Verdict.FAIL))


def of_code_refusal(status: int | None) -> CodeRefusal:
    """The failure of a request for a code. Without a status, WhatsApp did not answer at all."""
    if status is None:
        return CodeRefusal(FailureCode.CONNECTION_FAILED)
    return _CODE_STATUS.get(status, CodeRefusal(FailureCode.INTERNAL))


def of_ending(reason: str, refusal: LostReason | None) -> FailureCode:
    """The end of a linker without a device: by WhatsApp's refusal of the first login, or by the text of an error."""
    if refusal is not None:
        return _FIRST_LOGIN[refusal]
    return FailureCode.CONNECTION_FAILED if _NETWORK.search(reason) else FailureCode.INTERNAL


def of_loss(reason: LostReason, *, fresh: bool = False) -> FailureCode:
    """The loss of a held session; `fresh` within the dwell."""
    code = _LOST[reason]
    return FailureCode.DROPPED_AFTER_LINKING if fresh and code is FailureCode.LOGGED_OUT else code


def of_unsent(reason: str) -> Fate | None:
    """The end of a text that a holder could not send, by the holder's or the library's word. None: send it again."""
    if _NOT_YET.search(reason):
        return None
    why, status = NotSent.UNKNOWN, None
    if found := _ANSWERED.search(reason):
        status = int(found[1])
        why = NotSent.RATE_LIMITED if status in _TOO_MANY else NotSent.REFUSED
    elif _NOBODY.search(reason):
        why = NotSent.NOT_ON_WHATSAPP
    elif _NOT_A_MEMBER.search(reason):
        why = NotSent.REFUSED
    return Fate(MessageState.FAILED, why, status)


def told(code: FailureCode | None, said: str = "") -> str:
    """A failure for the timeline, with WhatsApp's own words for it. Nothing without a failure."""
    words = scrub.text(said)[:MOST_SAID]
    return f"{code.value}: {words}" if code and words else code or ""
