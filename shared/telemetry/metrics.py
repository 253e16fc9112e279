"""Metrics: names, meanings, and how a count is written in `wa:stats`.

The script that makes a change also counts it, so retries and deaths count nothing twice. A field of `wa:stats` is the
metric's name with its labels: `attempts{method="qr"}`. A change carries three notations:

    attempts{method="qr"}                                    one more
    @shown funnel{stage="shown"}                             one more, the first time that this onboarding gets so far
    @shown<clicked click_to_shown_seconds{method="qr"}       the same, and how long ago the mark `clicked` was set

The marks of an onboarding lie in its subject (`wa:subject:<session>`) and survive a new attempt on another worker.
"""

from enum import StrEnum
from importlib.metadata import version

from shared.core.described import Described
from shared.core.failures import FailureCode
from shared.core.lifecycle import State

ENGINE = version("neonize")
"""The version of the WhatsApp library. Read from the package's metadata: the library itself is never loaded here."""


class Counter(Described):
    """The name of a counter, and its meaning."""

    ATTEMPTS = "attempts", "Attempts to link that were started, by the method first asked for."
    QR_SHOWN = "qr_codes_shown", "QR codes shown."
    CODES_GENERATED = "pairing_codes_generated", "Pairing codes generated."
    CODE_SUCCESSES = "pairing_code_successes", "Attempts with a pairing code that ended linked."
    CODE_FAILURES = "pairing_code_failures", "Pairing codes that could not be had, by reason."
    QR_TO_CODE = "qr_to_code_switches", "Attempts that showed a QR first and were then asked for a code."
    LINKED = "linked", "Devices linked, by method and region of the phone."
    VERIFIED = "verified", "Linked devices that were still there after the dwell."
    DROPPED = "dropped", "Linked devices dropped within the dwell."
    FAILURES = "failures", "Attempts and sessions that ended in a failure, by code and region."
    ENDINGS = "endings", "Attempts that ended, by state: their sum is that of the attempts, but for those that run."
    FUNNEL = "funnel", "Onboardings that got so far, by method, region and version of the WhatsApp library."
    REFUSED = "refused_commands", "Commands of browsers that were refused at once, by code."
    SWEPT = "swept", "Things the sweeper put right, by kind."
    UNANSWERED = (
        "unanswered_attempts",
        "Attempts whose third QR passed without an answer: nobody scans, or scans fail silently.",
    )
    QR_REFRESHED = "qr_secrets_refreshed", "QRs that WhatsApp took back while they were shown (companion_reg_refresh)."
    JOB_FAILURES = "job_failures", "Jobs that failed, by name."
    WEBHOOKS = "webhooks", "Tries to deliver an event, by its type and the result: delivered, retried, given-up."
    API_WRITES = "api_writes", "Requests of the API that may change something, by operation, key and status."
    API_REFUSED = "api_refused_keys", "Requests of the API whose key was refused: none, wrong, or without the scope."
    STREAM_ERRORS = (
        "stream_errors",
        "Connections that WhatsApp ended with an error that the library does not know, by its code.",
    )
    ODD_VALUES = (
        "odd_values",
        "Values in Redis that another program had put under our names, and that were thrown away.",
    )


class Histogram(Described):
    """The name of a histogram, in seconds, and its meaning."""

    CLICK_TO_SHOWN = "click_to_shown_seconds", "From the click to the first QR, or the first pairing code."
    SHOWN_TO_LINKED = "shown_to_linked_seconds", "From the first QR, or the first pairing code, to the linked device."


class Stage(StrEnum):
    """A stage of an onboarding. Each is counted once for a click, whatever happens to workers meanwhile."""

    STARTED = "started"
    SHOWN = "shown"
    AGREED = "agreed"
    LINKED = "linked"
    VERIFIED = "verified"


class Swept(StrEnum):
    """Repairs of the sweeper. `attempt`: begun anew; `linking`: ended after the phone's yes; `linked`: not told before;
    `overdue`: past its deadline; `device`: told to be linked, without a device; `worker`: dead."""

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


def failed(code: FailureCode, region: str) -> str:
    """An attempt or a session ended in a failure."""
    return field(Counter.FAILURES, code=code.value, region=region)


def ended(state: State) -> str:
    """An attempt ended."""
    return field(Counter.ENDINGS, state=state.value)


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
