"""Times, sizes and events in the words of a person."""

from datetime import UTC, datetime

from shared.core.clock import now_ms
from shared.core.failures import FailureCode

#: Meanings of the events of a timeline. An unknown one is shown as it is.
EVENTS: dict[str, str] = {
    "attempt.requested": "asked to link",
    "attempt.connecting": "a worker connects to WhatsApp",
    "attempt.restarted": "begun anew: its worker was gone",
    "attempt.retaken": "kept, after Redis lost its memory",
    "attempt.linked": "linked",
    "attempt.failed": "failed",
    "attempt.expired": "expired: no phone agreed in time",
    "attempt.cancelled": "cancelled by the owner",
    "qr.shown": "QR shown",
    "code.asked": "a pairing code is wanted",
    "code.shown": "pairing code shown",
    "code.refused": "no pairing code to be had",
    "phone.agreed": "the phone agreed",
    "device.imported": "taken over from another client",
    "session.held": "logged in",
    "session.dropped": "connection lost",
    "session.stream-error": "WhatsApp ended the connection with an error",
    "session.file-missed": "a file of its history could not be fetched",
    "session.resuming": "taken up by a worker",
    "session.handed-over": "handed over: its worker stops",
    "session.retaken": "kept, after Redis lost its memory",
    "session.verified": "still there after the first minute",
    "session.unlinked": "logged out by us",
    "session.logged-out": "logged out on the phone",
    "session.restricted": "WhatsApp has restricted the account",
    "session.replaced": "its keys are in use elsewhere",
    "session.banned": "banned by WhatsApp",
    "holder.died": "its engine process died",
    "device.missing": "its device is not in the store",
    "switch.on": "switched on",
    "switch.off": "switched off",
    "link.created": "a link was made",
    "link.revoked": "a link was made useless",
    "session.unlink": "logged out by an operator",
    "cooldown.cleared": "a cool-down was taken back",
    "doctor.repaired": "put right",
    "worker.stopped": "handed over and stopped",
    "worker.buried": "was silent: taken for dead",
}

#: Advice for operators about a failure whose way out lies outside of the page.
ADVICE: dict[str, str] = {
    FailureCode.PASSKEY_REQUIRED: "link it with a client that can, then take it over: onboarding import (docs/moving-in.md)",
    FailureCode.LINKED_ELSEWHERE: "unlink it there, or have its owner scan the QR",
}


def advised(detail: str) -> str:
    """The detail of an event, with advice if there is any."""
    advice = ADVICE.get(detail.partition(" ")[0])
    return f"{detail}: {advice}" if advice else detail


def clock(ms: int) -> str:
    """A moment in UTC, to the millisecond: `2026-11-23 16:02:11.120`."""
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    except (ValueError, OverflowError, OSError):  # written by somebody else
        return "?"


def span(ms: float) -> str:
    """A duration: `0.4 s`, `12 s`, `3 min`, `5 h`, `12 d`."""
    seconds = abs(ms) / 1000
    for most, size, unit in ((10, 1, "s"), (100, 1, "s"), (5400, 60, "min"), (172_800, 3600, "h")):
        if seconds < most:
            return f"{seconds / size:.1f} {unit}" if most == 10 else f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"


def ago(ms: int) -> str:
    """Time since a moment, in words: `3 min ago`."""
    return span(now_ms() - ms) + " ago"
