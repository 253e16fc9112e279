"""The counters behind /metrics: their names, their meanings, and how one is written in `wa:stats`.

A counter moves in the same script as the change that it counts (shared/snapshots.py), so retries and deaths count
nothing twice. A field of `wa:stats` is the metric's name and labels: `attempts{method="qr"}`.
"""

from enum import StrEnum


class Counter(StrEnum):
    """What is counted."""

    ATTEMPTS = "attempts"
    QR_SHOWN = "qr_codes_shown"
    CODES_GENERATED = "pairing_codes_generated"
    CODE_SUCCESSES = "pairing_code_successes"
    CODE_FAILURES = "pairing_code_failures"
    QR_TO_CODE = "qr_to_code_switches"
    LINKED = "linked"
    VERIFIED = "verified"
    DROPPED = "dropped"
    FAILURES = "failures"
    SWEPT = "swept"


HELP: dict[Counter, str] = {
    Counter.ATTEMPTS: "Attempts to link that were started, by the method first asked for.",
    Counter.QR_SHOWN: "QR codes shown.",
    Counter.CODES_GENERATED: "Pairing codes generated.",
    Counter.CODE_SUCCESSES: "Attempts with a pairing code that ended linked.",
    Counter.CODE_FAILURES: "Pairing codes that could not be had, by reason.",
    Counter.QR_TO_CODE: "Attempts that showed a QR first and were then asked for a code.",
    Counter.LINKED: "Devices linked, by method and region of the phone.",
    Counter.VERIFIED: "Linked devices that were still there after the dwell.",
    Counter.DROPPED: "Linked devices dropped within the dwell.",
    Counter.FAILURES: "Attempts and sessions that ended in a failure, by code.",
    Counter.SWEPT: "Things the sweeper put right, by kind.",
}


def field(counter: Counter, **labels: str) -> str:
    """The counter's field in `wa:stats`."""
    inside = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
    return f"{counter.value}{{{inside}}}" if inside else counter.value


def parse_field(text: str) -> tuple[str, dict[str, str]]:
    """The name and labels of a field of `wa:stats`."""
    name, _, inside = text.partition("{")
    pairs = (pair.partition("=") for pair in inside.rstrip("}").split(",") if pair)
    return name, {key: value.strip('"') for key, _, value in pairs}
