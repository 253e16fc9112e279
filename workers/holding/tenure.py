"""The words of a held session's machine: its states, its events and its effects.

All of it is data. `machine.py` decides; `carrying.py` feeds the events in and carries the effects out.
"""

from enum import Enum

from shared.core.datum import Datum
from shared.core.failures import FailureCode
from shared.core.lifecycle import State
from shared.state.claims import REVOKED
from workers.engine import protocol as pipe

UNLINKING = "unlinking"
"""The mark of a parked device that the platform wants logged out. Such a device is held only for that."""
UNWELCOME = frozenset({FailureCode.WRONG_NUMBER.value, REVOKED})
"""The marks of a parked device that must not stay: nobody was told of it, and nobody is told that it is logged out."""


class TenurePhase(Enum):
    COMING = "coming"  # to be connected, or trying to
    ONLINE = "online"
    AWAY = "away"  # the library tries to come back by itself
    LEAVING = "leaving"  # being logged out by us: what its connection says is no news for the page
    OVER = "over"  # held no more


class Tenure(Datum):
    """The state of one held session.

    shown: what the page was told last
    fresh: its end of the dwell was not told yet; within the dwell WhatsApp drops some devices
    due: the dwell has ended while the connection was away; told when it is back, or a dwell later if it is made anew
    tries: failed tries to connect in a row
    parked: why the registry has it parked, while it is tried again
    trouble: why it cannot be connected
    leave_by: the end of the tries to log it out, in ms since the epoch
    silent: it must not stay: the attempt that linked it tells its own ending
    """

    phase: TenurePhase = TenurePhase.COMING
    shown: State = State.RECONNECTING
    fresh: bool = False
    due: bool = False
    parked: str = ""
    tries: int = 0
    trouble: FailureCode | None = None
    leave_by: int = 0
    silent: bool = False


# --- what can happen ------------------------------------------------------------------------------------------------


class Sign(Enum):
    """Events of a held session, beside the lines of its holder."""

    DWELT = "dwelt"  # the dwell is over
    SETTLED = "settled"  # online for so long that nobody else can have the keys
    HOLDER_DIED = "holder-died"
    START_FAILED = "start-failed"  # no holder, no store, or a bug of ours
    KEYS_MISSING = "keys-missing"
    RETRY = "retry"  # a pause is over
    UNANSWERED = "unanswered"  # WhatsApp has not answered a log-out
    LATE = "late"  # a log-out was tried for as long as it may be


class UnlinkAsked(Datum):
    """The platform wants the device logged out, and has it tried until `by` (ms since the epoch)."""

    by: int


SessionEvent = Sign | UnlinkAsked | pipe.Held | pipe.Restored | pipe.Dropped | pipe.Lost | pipe.Released | pipe.Remarked


# --- what is to be done ---------------------------------------------------------------------------------------------


class Duty(Enum):
    """Effects that say all by their name."""

    DWELL = "dwell"  # have `Sign.DWELT` happen a whole dwell from now
    TELL_VERIFIED = "tell-verified"  # the device has outlived the dwell
    SEND_LOG_OUT = "send-log-out"  # to the holder; `Sign.UNANSWERED` if nothing comes of it in time
    DISCONNECT = "disconnect"  # have the holder close the connection; the device stays linked
    SETTLE = "settle"  # have `Sign.SETTLED` happen when the session has been online for long
    UNPARK_DEVICE = "unpark-device"  # hold it like any other again
    FORGET_DEVICE = "forget-device"  # with its keys; its holder has let go of it, or is told to
    CUT_TEXTS = "cut-texts"  # expect no answers any more to those that the holder had in its hands
    WAKE_TEXTS = "wake-texts"  # send those that wait, as the session is online


class SessionEffect(Datum):
    """One thing that others do for a held session. The name of a `Duty` says it all."""


class Tell(SessionEffect):
    """Save where the session stands. `alert`: tell Sentry of the trouble. `count`: the trouble is new, so it is counted.
    `said`: what WhatsApp said to it, for the timeline."""

    state: State
    event: str
    trouble: FailureCode | None = None
    count: bool = False
    alert: bool = False
    raw: str = ""
    said: str = ""


class TellRemark(SessionEffect):
    """Write down what has befallen the session, which goes on as it did."""

    remark: pipe.Remark
    detail: str


class TellEnd(SessionEffect):
    """Save the last snapshot, and give the lease back: the session is held no more.

    `kept`: the device is still registered. `again`: the same ending was told before. `said`: what WhatsApp said, for the
    timeline.
    """

    state: State
    event: str
    code: FailureCode | None = None
    retry_at: int | None = None
    raw: str = ""
    kept: bool = False
    again: bool = False
    said: str = ""


class StartAgain(SessionEffect):
    """Start after a fenced write: a worker that slept past its lease must not take its sessions up again."""

    event: str


class RetryIn(SessionEffect):
    """Have `Sign.RETRY` happen after a pause that grows with `tries`."""

    tries: int


class AwaitVersion(SessionEffect):
    """Wait for a version of the client that WhatsApp takes; then `Sign.RETRY` happens."""

    library: str | None


class GiveUpAt(SessionEffect):
    """Have `Sign.LATE` happen at `by` (ms since the epoch)."""

    by: int


class ParkDevice(SessionEffect):
    """Keep the device unheld, with the reason. It is tried again at `again_at` (ms since the epoch; 0: only if asked)."""

    why: str
    again_at: int


class CoolNumber(SessionEffect):
    """Give a banned phone no code for as long as the ban lasts, `until` (ms since the epoch)."""

    until: int


class Offer(SessionEffect):
    """Have any worker look at the session again at `at` (ms since the epoch)."""

    at: int
