"""The lifecycle table as a diagram and with words."""

from docs.generate.markdown import document, generated_from, table
from shared.core.lifecycle import CANCELLABLE, DEVICE, RUNNING, STARTABLE, STEPS, State, diagram

MEANING: dict[State, str] = {
    State.UNLINKED: "No device is linked and nothing runs: before the first request, and after a logout.",
    State.QUEUED: "An attempt is asked for and waits for a worker with a free place.",
    State.CONNECTING: "A worker has the attempt; its linker process connects to WhatsApp.",
    State.AWAITING_PHONE: "A QR is shown, and a pairing code if one was asked for; it is the phone's turn.",
    State.LINKING: "The phone has agreed; the device logs in for the first time. Cannot be cancelled.",
    State.LINKED: "The device is registered and connected.",
    State.RECONNECTING: "The device is registered; its connection is being made again, here or on another worker.",
    State.EXPIRED: "The attempt's time ran out before a phone agreed.",
    State.CANCELLED: "The owner took the attempt back.",
    State.FAILED: "The attempt ended, or the device was lost, for the reason in `failure`.",
}


def page() -> str:
    """`docs/lifecycle.md`."""
    order = list(State)
    groups = [("runs", RUNNING), ("can be cancelled", CANCELLABLE), ("has a device", DEVICE), ("can start", STARTABLE)]
    rows = [
        (
            f"`{state.value}`",
            MEANING[state],
            ", ".join(name for name, group in groups if state in group),
            ", ".join(f"`{new.value}`" for new in order if new in STEPS[state]),
        )
        for state in order
    ]
    return document(
        "# The lifecycle of a session's onboarding",
        generated_from("shared/core/lifecycle.py"),
        "One table decides what may follow what; a step that is not in it raises, and nothing changes. A state that may "
        "follow itself carries news of the same kind: the next QR, another place in the queue.",
        f"```mermaid\n{diagram()}\n```",
        table(["state", "meaning", "is", "may be followed by"], rows),
        "* **runs**: a claim exists, and the page is owed an ending by the snapshot's `deadline`.\n"
        "* **can be cancelled**: runs, and no phone has agreed yet.\n"
        "* **has a device**: the device store holds a linked device for the session.\n"
        "* **can start**: a new request starts a new attempt.",
    )
