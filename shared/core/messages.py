"""The life of a text that a company sends: its states, the reasons for its end, and WhatsApp's refusals by number."""

from enum import StrEnum

from shared.core.datum import Datum


class MessageState(StrEnum):
    """The state of a text. `sent`: WhatsApp has taken it; `delivered` and `read`: its receiver's phone says so."""

    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"
    DELIVERED = "delivered"
    READ = "read"
    FAILED = "failed"
    UNDELIVERED = "undelivered"


class NotSent(StrEnum):
    """The reason of `failed`. With every one but `unknown` the text was certainly not sent."""

    NOT_ONLINE = "not-online"  # the session had no connection for too long
    BUSY = "busy"  # the text waited too long for its turn
    REFUSED = "refused"  # by WhatsApp; its number says why
    NOT_ON_WHATSAPP = "not-on-whatsapp"  # nobody has this number there
    RATE_LIMITED = "rate-limited"  # WhatsApp says that this session sends too much
    UNKNOWN = "unknown"  # no answer, or its worker died meanwhile: it may have been sent


class NotDelivered(StrEnum):
    """The reason of `undelivered`. WhatsApp has taken the text, and the receiver's phone does not show it."""

    NO_KEYS = "no-keys"  # the keys of the receiver's phone could not be had
    UNREADABLE = "unreadable"  # the receiver's phone could not decrypt the text
    UNCONFIRMED = "unconfirmed"  # no phone has confirmed it within a day


Reason = NotSent | NotDelivered


class Fate(Datum):
    """The state of a text, with its reason. `status` is WhatsApp's own number; `at` its own time (ms), else ours."""

    state: MessageState
    reason: Reason | None = None
    status: int | None = None
    whatsapp_id: str = ""
    at: int | None = None


#: WhatsApp's refusals of a text by number, and what the sender does about each.
ADVICE: dict[int, str] = {
    400: "WhatsApp did not understand the text: report this to the operators of the service.",
    403: "This session may not write to this chat: ask to be let in, or write to somebody else.",
    404: "The receiver is gone from WhatsApp: check the number.",
    420: "Too many texts in a short time: stop sending for an hour, then send more slowly.",
    421: "WhatsApp wanted another way to this receiver: send the text again in a minute.",
    429: "Too many texts in a short time: stop sending for an hour, then send more slowly.",
    463: "WhatsApp does not let this session begin this chat now: let the receiver write first, write less to people who "
    "do not know the company, and try again in a day.",
    479: "The keys of a device have changed meanwhile: send the text again in a minute.",
    500: "WhatsApp had trouble of its own: send the text again in some minutes.",
    503: "WhatsApp had trouble of its own: send the text again in some minutes.",
}
OTHERWISE = "WhatsApp refused the text: do not repeat it at once, and look at the number of the refusal."


def advice(status: int) -> str:
    """The next thing to do after WhatsApp's refusal with this number."""
    return ADVICE.get(status, OTHERWISE)
