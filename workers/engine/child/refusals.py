"""WhatsApp's refusals of a paired client, as they travel over the pipe."""

import time

from workers.engine.child.happenings import Refusal
from workers.engine.protocol import LostReason

REASONS = {
    Refusal.LOGGED_OUT: LostReason.LOGGED_OUT,
    Refusal.RESTRICTED: LostReason.RESTRICTED,
    Refusal.REPLACED: LostReason.REPLACED,
    Refusal.BANNED: LostReason.BANNED,
    Refusal.OUTDATED: LostReason.OUTDATED,
    Refusal.OTHER: LostReason.REFUSED,
}


def ends_at(seconds: int | None) -> int | None:
    """When a ban of so many seconds from now is over, in ms since the epoch."""
    return None if seconds is None else time.time_ns() // 1_000_000 + seconds * 1000
