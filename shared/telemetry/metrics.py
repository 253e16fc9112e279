"""Metrics: names, meanings, and how a count is written in `wa:stats`.

A count moves in the same script as the change that it counts (shared/state/snapshots.py), so retries and deaths count
nothing twice. A field of `wa:stats` is the metric's name and labels: `attempts{method="qr"}`. Three notations travel
in a change:

    attempts{method="qr"}                                    one more
    @shown funnel{stage="shown"}                             one more, the first time that this onboarding gets so far
    @shown<clicked click_to_shown_seconds{method="qr"}       the same, and how long ago the mark `clicked` was set

The marks of an onboarding lie in its subject (`wa:subject:<session>`) and survive a new attempt on another worker.
"""

import importlib.metadata
from enum import StrEnum

ENGINE = importlib.metadata.version("neonize")
"""The version of the WhatsApp library. Read from the package's metadata: the library itself is never loaded here."""


class Counter(StrEnum):
    """The name of a counter."""

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
    ENDINGS = "endings"
    FUNNEL = "funnel"
    REFUSED = "refused_commands"
    SWEPT = "swept"
    UNANSWERED = "unanswered_attempts"
    QR_REFRESHED = "qr_secrets_refreshed"
    JOB_FAILURES = "job_failures"
    WEBHOOKS = "webhooks"
    API_WRITES = "api_writes"
    API_REFUSED = "api_refused_keys"
    STREAM_ERRORS = "stream_errors"
    ODD_VALUES = "odd_values"


class Histogram(StrEnum):
    """The name of a histogram, in seconds."""

    CLICK_TO_SHOWN = "click_to_shown_seconds"
    SHOWN_TO_LINKED = "shown_to_linked_seconds"


class Stage(StrEnum):
    """A stage of an onboarding. Each is counted once for a click, whatever happens to workers meanwhile."""

    STARTED = "started"
    SHOWN = "shown"
    AGREED = "agreed"
    LINKED = "linked"
    VERIFIED = "verified"


class Swept(StrEnum):
    """Repairs of the sweeper: an attempt begun anew, one that ended after the phone's yes, one that was linked and
    not told of, one past its deadline, a session that was told to be linked and has no device, a dead worker."""

    ATTEMPT = "attempt"
    DEVICE = "device"
    LINKED = "linked"
    LINKING = "linking"
    OVERDUE = "overdue"
    WORKER = "worker"


class Mark(StrEnum):
    """A moment in an onboarding, ms since the epoch by Redis' clock, kept in its subject."""

    CLICKED = "clicked"  # the first request
    ASKED = "asked"  # the first request for a code
    SHOWN = "shown"  # the first QR
    CODED = "coded"  # the first pairing code
    AGREED = "agreed"
    LINKED = "linked"


HELP: dict[Counter | Histogram, str] = {
    Counter.ATTEMPTS: "Attempts to link that were started, by the method first asked for.",
    Counter.QR_SHOWN: "QR codes shown.",
    Counter.CODES_GENERATED: "Pairing codes generated.",
    Counter.CODE_SUCCESSES: "Attempts with a pairing code that ended linked.",
    Counter.CODE_FAILURES: "Pairing codes that could not be had, by reason.",
    Counter.QR_TO_CODE: "Attempts that showed a QR first and were then asked for a code.",
    Counter.LINKED: "Devices linked, by method and region of the phone.",
    Counter.VERIFIED: "Linked devices that were still there after the dwell.",
    Counter.DROPPED: "Linked devices dropped within the dwell.",
    Counter.FAILURES: "Attempts and sessions that ended in a failure, by code and region.",
    Counter.ENDINGS: "Attempts that ended, by state: their sum is that of the attempts, but for those that run.",
    Counter.FUNNEL: "Onboardings that got so far, by method, region and version of the WhatsApp library.",
    Counter.REFUSED: "Commands of browsers that were refused at once, by code.",
    Counter.SWEPT: "Things the sweeper put right, by kind.",
    Counter.UNANSWERED: "Attempts whose third QR passed without an answer: nobody scans, or scans fail silently.",
    Counter.QR_REFRESHED: "QRs that WhatsApp took back while they were shown (companion_reg_refresh).",
    Counter.JOB_FAILURES: "Jobs that failed, by name.",
    Counter.WEBHOOKS: "Tries to deliver an event, by its type and the result: delivered, retried, given-up.",
    Counter.API_WRITES: "Requests of the API that may change something, by operation, key and status.",
    Counter.STREAM_ERRORS: "Connections that WhatsApp ended with an error that the library does not know, by its code.",
    Counter.API_REFUSED: "Requests of the API whose key was refused: none, wrong, or without the scope.",
    Counter.ODD_VALUES: "Values in Redis that another program had put under our names, and that were thrown away.",
    Histogram.CLICK_TO_SHOWN: "From the click to the first QR, or the first pairing code.",
    Histogram.SHOWN_TO_LINKED: "From the first QR, or the first pairing code, to the linked device.",
}

#: Upper bounds of the buckets, in ms.
BUCKETS: dict[Histogram, tuple[int, ...]] = {
    Histogram.CLICK_TO_SHOWN: (50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000),
    Histogram.SHOWN_TO_LINKED: (2500, 5000, 10_000, 20_000, 30_000, 45_000, 60_000, 90_000, 120_000, 180_000),
}

UNKNOWN_REGION = "ZZ"


def field(counter: Counter, **labels: str) -> str:
    """The counter's field in `wa:stats`."""
    inside = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
    return f"{counter.value}{{{inside}}}" if inside else counter.value


def funnel(stage: Stage, method: str, region: str) -> str:
    """The field of one stage. `region` is the one known when the onboarding began (`ZZ` for none), so that the stages
    of one onboarding are comparable."""
    return field(Counter.FUNNEL, stage=stage.value, method=method, region=region, engine=ENGINE)


def first(mark: Mark, text: str) -> str:
    """`text`, counted only the first time that an onboarding reaches `mark`."""
    return f"@{mark.value} {text}"


def timed(mark: Mark, since: Mark, histogram: Histogram, method: str) -> str:
    """The time from `since` to `mark`, observed only the first time that an onboarding reaches `mark`."""
    return f'@{mark.value}<{since.value} {histogram.value}{{method="{method}"}}'


def parse_field(text: str) -> tuple[str, dict[str, str]]:
    """The name and labels of a field of `wa:stats`."""
    name, _, inside = text.partition("{")
    pairs = (pair.partition("=") for pair in inside.rstrip("}").split(",") if pair)
    return name, {key: value.strip('"') for key, _, value in pairs}
