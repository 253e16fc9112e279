"""WhatsApp's refusals of a paired client, as they travel over the pipe."""

import time

from workers.engine.child.happenings import LoginRefusal
from workers.engine.protocol import LostReason

REASONS = {
    LoginRefusal.LOGGED_OUT: LostReason.LOGGED_OUT,
    LoginRefusal.RESTRICTED: LostReason.RESTRICTED,
    LoginRefusal.REPLACED: LostReason.REPLACED,
    LoginRefusal.BANNED: LostReason.BANNED,
    LoginRefusal.OUTDATED: LostReason.OUTDATED,
    LoginRefusal.OTHER: LostReason.REFUSED,
}


def ends_at(seconds: int | None) -> int | None:
    """End of a ban of so many seconds from now, in ms since the epoch."""
    return None if seconds is None else time.time_ns() // 1_000_000 + seconds * 1000
