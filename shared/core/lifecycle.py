"""Steps that a session's onboarding may take: the one table that everything else obeys.

`docs/lifecycle.md` is printed from it. An illegal step raises, and nothing happens.
"""

from enum import StrEnum


class State(StrEnum):
    """The state of a session. Before the first request, and after a logout, it is `unlinked`."""

    UNLINKED = "unlinked"
    QUEUED = "queued"
    CONNECTING = "connecting"
    AWAITING_PHONE = "awaiting_phone"
    LINKING = "linking"
    LINKED = "linked"
    RECONNECTING = "reconnecting"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    FAILED = "failed"


S = State
_IDLE = frozenset({S.QUEUED, S.RECONNECTING, S.UNLINKED})

#: From each state, the states that may follow. A state that may follow itself is news of the same kind (another QR).
STEPS: dict[State, frozenset[State]] = {
    # Where nothing runs, a device may still be registered (Redis was emptied, or it is parked), taken up, and logged out.
    S.UNLINKED: _IDLE,
    S.QUEUED: frozenset({S.QUEUED, S.CONNECTING, S.EXPIRED, S.CANCELLED, S.FAILED}),
    S.CONNECTING: frozenset({S.QUEUED, S.CONNECTING, S.AWAITING_PHONE, S.EXPIRED, S.CANCELLED, S.FAILED}),
    S.AWAITING_PHONE: frozenset(
        {S.QUEUED, S.CONNECTING, S.AWAITING_PHONE, S.LINKING, S.EXPIRED, S.CANCELLED, S.FAILED}
    ),
    # The phone has agreed: from here it can only succeed or fail, not be cancelled.
    S.LINKING: frozenset({S.LINKED, S.FAILED}),
    S.LINKED: frozenset({S.LINKED, S.RECONNECTING, S.UNLINKED, S.FAILED}),
    S.RECONNECTING: frozenset({S.RECONNECTING, S.LINKED, S.UNLINKED, S.FAILED}),
    S.EXPIRED: _IDLE,
    S.CANCELLED: _IDLE,
    S.FAILED: _IDLE,
}

#: An attempt runs: a claim exists, and somebody owes the page an ending by the deadline.
RUNNING = frozenset({S.QUEUED, S.CONNECTING, S.AWAITING_PHONE, S.LINKING})
#: A running attempt that the owner may still take back.
CANCELLABLE = frozenset({S.QUEUED, S.CONNECTING, S.AWAITING_PHONE})
#: A device is registered for the session.
DEVICE = frozenset({S.LINKED, S.RECONNECTING})
#: A new request starts a new attempt.
STARTABLE = frozenset({S.UNLINKED, S.EXPIRED, S.CANCELLED, S.FAILED})


class IllegalStep(Exception):
    """The table does not allow this step; nothing was changed."""


def check_step(old: State, new: State) -> None:
    """Raise `IllegalStep` unless the table allows `old` → `new`."""
    if new not in STEPS[old]:
        raise IllegalStep(f"{old.value} → {new.value} is not in the lifecycle table")


def diagram() -> str:
    """The table as a Mermaid state diagram, for the docs."""
    lines = ["stateDiagram-v2", f"    [*] --> {S.UNLINKED.value}"]
    lines += [f"    {old.value} --> {new.value}" for old, steps in STEPS.items() for new in State if new in steps]
    return "\n".join(lines)
