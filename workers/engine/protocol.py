"""Lines of the pipe between the worker and one of its engine processes: JSON, one message a line.

    -> linker   start, request-code                   <- ready, qr, code, code-refused, word, paired, connected, ended
    -> holder   hold, release, log-out, send, look,   <- ready, starting, held, dropped, restored, lost, sent, send-failed,
                probe                                     looked, confirmed, released, probed

A linker runs exactly one attempt and is then gone; a holder keeps many sessions. Raw words of the library (`word`,
`reason`) are translated in one place on the worker's side (workers/reasons.py); here they only travel.

One file, as it is the whole language of the pipe; docs/pipe.md is made from it.
"""

import re
from enum import StrEnum

from msgspec.json import Decoder

from shared.core.datum import Datum


class Line(
    Datum,
    forbid_unknown_fields=True,
    tag_field="type",
    tag=lambda name: re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower(),
):
    """A message on the pipe. Its `type` is the name of its class: that of `RequestCode` is `request-code`."""


# --- worker → linker --------------------------------------------------------------------------------------------------


class Start(Line):
    """Begin the attempt: connect and show QRs, pairing into the throw-away SQLite file `database` (absolute path).

    With `jid` an earlier linker has died after the phone had agreed: log in with that device, which is in the file. With
    `log_out` nobody will hold it: unlink it at WhatsApp instead. Answered by `ended`.
    """

    database: str
    jid: str = ""
    log_out: bool = False


class RequestCode(Line):
    """Ask WhatsApp for a pairing code for `phone` (E.164 digits with `+`). Answered by `code` or `code-refused`."""

    phone: str


ToLinker = Start | RequestCode
to_linker: Decoder[ToLinker] = Decoder(ToLinker)


# --- linker → worker --------------------------------------------------------------------------------------------------


class Ready(Line):
    """The library is loaded; the process can be used. `held` says by what the kernel holds it, such as `landlock 6, seccomp`."""

    held: str = ""


class Qr(Line):
    """The next QR text of the rotation; `number` counts from 1. `born` is the moment (ms since the epoch)."""

    text: str
    number: int
    born: int


class Code(Line):
    """A pairing code, as WhatsApp shows it: `ABCD-EFGH`."""

    text: str


class CodeRefused(Line):
    """No code could be had; `status` is WhatsApp's number when it answered (429, 400, 452 …)."""

    status: int | None
    reason: str


class Word(Line):
    """A login-status word of the library: `success`, `timeout`, `error`, `err-client-outdated`, `passkey-request` …

    `said`: WhatsApp's own number and words, if it has refused the client.
    """

    word: str
    said: str = ""


class Paired(Line):
    """The phone has agreed. `jid` is `number:device@s.whatsapp.net`; the login after the 515 is still to come."""

    jid: str
    lid: str


class Connected(Line):
    """Logged in after the 515; the database holds the finished device, is closed, and the process ends."""


class LostReason(StrEnum):
    """The reason for which a session is no longer held. Its connection is closed."""

    LOGGED_OUT = "logged-out"  # 401: unlinked on the phone; the library has deleted the device
    RESTRICTED = "restricted"  # 403 (locked), 406 (banned)
    REPLACED = "replaced"  # the same keys logged in elsewhere
    BANNED = "banned"  # 402; `until` when WhatsApp says so
    OUTDATED = "outdated"  # 405
    REFUSED = "refused"  # another refusal at login
    START_FAILED = "start-failed"  # could not start: the store or the network; to be tried again


class Ended(Line):
    """The attempt is over without a device; `reason` is the library's own text.

    `refusal`: WhatsApp refused the first login after the phone had agreed; `until`: ms since the epoch, how long a ban
    lasts, when it says so.
    """

    reason: str
    refusal: LostReason | None = None
    until: int | None = None


FromLinker = Ready | Qr | Code | CodeRefused | Word | Paired | Connected | Ended
from_linker: Decoder[FromLinker] = Decoder(FromLinker)


# --- worker → holder --------------------------------------------------------------------------------------------------


class SessionLine(Line):
    """A message about one session of a holder."""

    session: str


class Hold(SessionLine):
    """Log the registered device in and keep it. `database` is an absolute path or a `postgres://` DSN that the worker
    has just seen to hold `jid`: starting a device that is not there aborts the whole process. `inbound`: tell what
    comes in."""

    database: str
    jid: str
    inbound: bool = False


class Release(SessionLine):
    """Close the session's connection and forget it here; the device stays linked. Answered by `released`.

    `patience`: so many seconds the text that is under way may wait for WhatsApp's answer.
    """

    patience: float = 5.0


class LogOut(SessionLine):
    """Unlink the device at WhatsApp, then release it. Answered by `lost` with reason `logged-out`, or `released`."""


class Send(SessionLine):
    """Send a text to `to`: E.164, or a JID. `message` is our id for it. Answered by `sent` or `send-failed`.

    Texts of a session leave in the order of these lines. If one cannot leave yet, neither do those behind it that have
    its `volley` or an earlier one: they are answered by `send-failed`, and the worker sends all of them again.
    """

    message: str
    to: str
    text: str
    volley: int = 0


class Look(SessionLine):
    """Ask WhatsApp about E.164 `numbers`. Answered by `looked` with the same `question`."""

    question: str
    numbers: list[str]


class Probe(Line):
    """Is the process alive, and how big is it? Answered by `probed`."""


ToHolder = Hold | Release | LogOut | Send | Look | Probe
to_holder: Decoder[ToHolder] = Decoder(ToHolder)


# --- holder → worker --------------------------------------------------------------------------------------------------


class Starting(SessionLine):
    """The library is about to log in; should the process die now, this session may be why."""


class Held(SessionLine):
    """Logged in for the first time since `hold`. `library`: see `lost`."""

    library: str | None = None


class Dropped(SessionLine):
    """The connection is lost or answers no more; the library tries to come back by itself."""


class Restored(SessionLine):
    """The session came back by itself."""


class Lost(SessionLine):
    """The session will not come back by itself. `until`: ms since the epoch, when known; `detail`: the library's own
    text.

    `library`: the file that the process has loaded in place of the installed library.
    """

    reason: LostReason
    until: int | None = None
    detail: str = ""
    library: str | None = None


class Released(SessionLine):
    """The session is no longer here. `detail`: why a log-out did not succeed; the device may still be linked."""

    detail: str = ""


class Sent(SessionLine):
    """WhatsApp took the message. `whatsapp_id` is its own id for it; `at` its own time (ms since the epoch)."""

    message: str
    whatsapp_id: str = ""
    at: int | None = None


class SendFailed(SessionLine):
    """The text was not sent. `reason`: the holder's word for a text that has not left, or the library's own text."""

    message: str
    reason: str


class Receipt(StrEnum):
    """The news of a text: from its receiver's phone, or WhatsApp's silence."""

    DELIVERED = "delivered"
    READ = "read"
    UNREADABLE = "unreadable"  # the phone could not decrypt it; the library sends it again, if it remembers it
    NO_KEYS = "no-keys"  # the keys of the phone could not be had: the text went to our own phone only


class Confirmed(SessionLine):
    """Receipts of texts, by WhatsApp's ids. Some may be of texts that another device of the account has sent."""

    receipt: Receipt
    whatsapp_ids: list[str]
    at: int | None = None


class Remark(StrEnum):
    """A trouble that the library tells its log alone."""

    STREAM_ERROR = "stream-error"  # WhatsApp ended the connection with an error that the library does not know
    FILE_MISSED = "file-missed"  # a file of the account (history, contacts) could not be had from the media host


class Remarked(SessionLine):
    """Something odd befell the session, which goes on. `detail`: which stream error it was."""

    remark: Remark
    detail: str = ""


class Came(StrEnum):
    """A kind of incoming message."""

    TEXT = "text"
    MEDIA = "media"
    REACTION = "reaction"
    EDIT = "edit"
    DELETION = "deletion"
    OTHER = "other"


class Received(SessionLine):
    """A message has come in, or was written on the phone itself (`own`).

    `chat` and `sender`: E.164, or a JID; `target`: the message that is edited, deleted or reacted to; `quoted`: the one
    that is answered. The text of a reaction is its emoji, empty if it is taken back.
    """

    whatsapp_id: str
    at: int
    chat: str
    sender: str
    came: Came
    sender_lid: str = ""
    name: str = ""
    own: bool = False
    text: str = ""
    target: str = ""
    quoted: str = ""
    media: str = ""
    mime: str = ""
    size: int | None = None


class Person(Datum, forbid_unknown_fields=True):
    """WhatsApp's answer about a number. `exists`: null if it did not say; `account`: E.164 of the account's own name.

    `known`: the library knew the person before it asked.
    """

    number: str
    exists: bool | None
    account: str = ""
    lid: str = ""
    known: bool = False


class Looked(SessionLine):
    """The answer to `look`: of each number once, or of none if the session has no connection."""

    question: str
    people: list[Person]


class Probed(Line):
    """Counts for the supervisor: sessions now, starts since birth, threads that will never end. Told unasked when one more of
    those stays: the holder is to be replaced when there are some, or after some hundred starts."""

    sessions: int
    starts: int
    stuck: int = 0


FromHolder = (
    Ready
    | Starting
    | Held
    | Dropped
    | Restored
    | Lost
    | Released
    | Sent
    | SendFailed
    | Looked
    | Confirmed
    | Received
    | Remarked
    | Probed
)
from_holder: Decoder[FromHolder] = Decoder(FromHolder)
