"""The words of the attempt's machine: where an attempt stands, what can happen to it, what it has others do.

All of it is data. `machine.py` decides; `attempt.py` feeds the events in and carries the effects out. One file, as it is one
vocabulary.
"""

from enum import Enum

from shared.core.datum import Datum
from shared.core.failures import FailureCode
from shared.core.lifecycle import State
from shared.core.protocol import Body, MessageType, Method
from shared.state.claims import Subject
from shared.state.cooldowns import Asker
from workers.engine import protocol as pipe
from workers.engine.orders import Exited
from workers.linking.limits import AttemptLimits
from workers.linking.rotation import Rotation
from workers.reasons import CodeRefusal
from workers.store.device import StoredDevice


class Phase(Enum):
    LEARNING = "learning"  # whom it is about
    CONNECTING = "connecting"
    SHOWING = "showing"  # a QR, and maybe a code
    AGREED = "agreed"  # the phone has: it can only succeed or fail
    KEEPING = "keeping"  # logged in; the device is made durable, or logged out again
    OVER = "over"  # the last snapshot is written, by us or by the next owner


class Course(Datum):
    """The state of one attempt. `body` is what the page shows, or is shown next.

    `dialled`: a linker is under way. `asker`: whose code was asked for on this connection. `jid`: of the
    device with which the phone has agreed. `revived`: a second linker has
    taken over a device whose first one died. `unwelcome`: why the phone that has agreed must not stay. `unlink`: the
    platform wants no device, and said so after the phone had agreed.
    """

    limits: AttemptLimits
    device_name: str
    phase: Phase = Phase.LEARNING
    body: Body = Body(state=State.QUEUED)
    subject: Subject = Subject(link="", link_expires_at=0)
    rotation: Rotation = Rotation()
    deadline: int = 0
    restarts: int = 0
    dialled: bool = False
    refused: FailureCode | None = None
    asker: Asker | None = None
    jid: str = ""
    revived: bool = False
    unwelcome: str = ""
    device: StoredDevice | None = None
    unlink: bool = False

    @property
    def method(self) -> Method:
        """Method by which the phone was last asked to agree."""
        return self.body.method or Method.QR


# --- what can happen ------------------------------------------------------------------------------------------------


class Order(Enum):
    CODE = "code"
    CANCEL = "cancel"
    UNLINK = "unlink"  # the platform wants the company to have no device
    HAND_OVER = "hand-over"  # this worker stops: another shall begin anew
    LOST = "lost"  # the lease is gone: stop, write nothing


class Turning(Enum):
    """Events that say all by their name."""

    LINK_SPENT = "link-spent"  # it has done its work
    LINK_REVOKED = "link-revoked"  # at the last moment, before it could be spent
    LOGGED_OUT = "logged-out"  # the device that must not stay is logged out and forgotten
    TIME_IS_UP = "time-is-up"  # the deadline has come


class Began(Datum):
    """A connection may be made. `warm`: a linker waits; `refused`: why there must be none, if so."""

    warm: bool
    refused: FailureCode | None = None


class Learned(Datum):
    """The attempt's subject, and the method that was asked for; None if only the subject was read."""

    subject: Subject
    method: Method | None = None


class CodeClaimed(Datum):
    """The phone's one living code is ours to ask for."""

    asker: Asker


class CodeDenied(Datum):
    """No code can be had. `raw`: WhatsApp's words, if any. `other`: the session with the phone, for operators alone."""

    code: FailureCode
    retry_at: int | None = None
    raw: str = ""
    other: str = ""


class Judged(Datum):
    """Verdict on the link that asked: `revoked` or not, and the phone that must have agreed, if it must be one."""

    revoked: bool
    expected: str | None = None


class Adopted(Datum):
    """The device is durable and registered."""

    device: StoredDevice


class NewerSought(Datum):
    """Result of the look for a newer version, for a refused one: `is_there` to try, or `retry_at`, when something new
    is tried. `raw`: WhatsApp's words of the refusal."""

    is_there: bool
    retry_at: int
    raw: str


class Broke(Datum):
    """Something happened in the engine or in us that must not happen. It carries the type of the error."""

    error: str


AttemptAnswer = Began | Learned | CodeClaimed | CodeDenied | Judged | Adopted | Turning | NewerSought
LinkerEvent = (
    pipe.Ready | pipe.Qr | pipe.Code | pipe.CodeRefused | pipe.Word | pipe.Paired | pipe.Connected | pipe.Ended | Exited
)
AttemptEvent = Order | AttemptAnswer | LinkerEvent | Broke


# --- what is to be done ---------------------------------------------------------------------------------------------


class Deed(Enum):
    """Effects that say all by their name."""

    FORGET_PHONE = "forget-phone"  # another number, or the same again, may be asked on the same attempt
    JUDGE = "judge"  # ask whether the link is still worth something; answered by `Judged`
    SPEND_LINK = "spend-link"  # the link has linked a device; answered by `LINK_SPENT` or `LINK_REVOKED`
    GIVE_LEASE_BACK = "give-lease-back"
    UNLINK_AGAIN = (
        "unlink-again"  # the platform's wish: to be done once the session is held, or by whoever finds a device
    )


class Effect(Datum):
    """One thing that others do for an attempt. The name of a `Deed` says it all."""


class Dial(Effect):
    """Connect with a linker; with `jid`, log in with the device that a dead linker has left in the file."""

    jid: str = ""


class HangUp(Effect):
    """Leave nothing of the connection behind: process, file, claim to a code. With `jid`, log that device out first: its
    phone has agreed, and only the file has its keys."""

    jid: str = ""


class Learn(Effect):
    """Read whom the attempt is about; answered by `Learned`, with the method if `whole`."""

    whole: bool


class Advance(Effect):
    """Go on under a new number; answered by `Began`."""

    why: str


class Show(Effect):
    """Save and announce the body as it is when this is carried out."""

    kind: MessageType
    event: str
    detail: str = ""
    counters: tuple[str, ...] = ()


class End(Effect):
    """Save the last snapshot. `raw` goes to the log; `region` is the linked phone's. `alert`: Sentry hears of a failure."""

    body: Body
    kind: MessageType
    event: str
    detail: str = ""
    counters: tuple[str, ...] = ()
    raw: str = ""
    region: str | None = None
    alert: bool = False


class ClaimCode(Effect):
    """Have the phone's one living code until `dies`; answered by `CodeClaimed` or `CodeDenied`."""

    phone: str
    dies: int


class AskCode(Effect):
    """Tell the linker to ask WhatsApp for a code."""

    phone: str


class BookRefusal(Effect):
    """Book the wait after a refused code, and give the claim back; answered by `CodeDenied`."""

    asker: Asker
    why: CodeRefusal
    raw: str


class AlertNoCode(Effect):
    """Tell Sentry of a code that could not be had, for which phone, and WhatsApp's answer."""

    code: FailureCode
    raw: str
    phone: str | None


class ReportDeath(Effect):
    """Tell Sentry that the linker died by itself."""

    exited: Exited


class Adopt(Effect):
    """Make the finished device durable; `parked` if it is not to stay. Answered by `Adopted`."""

    jid: str
    linked_at: int
    parked: str


class LogOutDevice(Effect):
    """Log out a device that must not stay, and forget it; answered by `LOGGED_OUT`."""

    device: StoredDevice


class HoldLinked(Effect):
    """Have the device held; `verified` is counted when it has outlived the dwell."""

    device: StoredDevice
    body: Body
    verified: tuple[str, ...]


class CoolPhone(Effect):
    """Give a banned phone no code for as long as the ban lasts, `until` (ms since the epoch)."""

    phone: str
    until: int


class Restart(Effect):
    """Have another worker begin anew, for the same page."""

    method: Method


class SeekNewer(Effect):
    """Look for a newer version than the one that WhatsApp refuses; answered by `NewerSought`."""

    raw: str
