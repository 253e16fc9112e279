"""Time limits of an attempt's parts. One place, in order: ours always fire before anybody else's."""

from shared.core import qr
from shared.core.datum import Datum
from shared.state.rescue import SWEEP_GRACE_MS


class AttemptLimits(Datum):
    """All in ms. The defaults are what production uses; tests of many attempts take less.

    qr: from the first QR to the end of the last; WhatsApp's library disconnects then, and a code dies with it.
    attempt: from the beginning of a connection to its ending, whatever happens.
    code: how long WhatsApp keeps a code; the connection that it hangs on may end earlier.
    code_least: asked for a code with less life left than this, a new attempt begins first.
    used_up_early: the rotation's end may come this much early; before that, `timeout` means that we were cut off.
    finish: from the phone's yes to the login: the linker itself tries again after some silence, and gives up at 30 s.
    restarts: how often one attempt may begin anew by itself.
    newer: how long an attempt waits for a newer version of the client, when WhatsApp refuses ours.
    unanswered: when so many QRs have passed without an answer, a hint is shown.
    """

    qr: int = qr.LIFE_MS
    attempt: int = 180_000
    code: int = 180_000
    code_least: int = 60_000
    used_up_early: int = 5_000
    finish: int = 75_000
    restarts: int = 2
    newer: int = 15_000
    unanswered: int = 3

    def __post_init__(self) -> None:
        """Raises ValueError when they are out of order."""
        if not 0 < self.code_least < self.qr < self.attempt < self.attempt + SWEEP_GRACE_MS:
            raise ValueError("the limits are out of order: code < QR < attempt < sweep")
