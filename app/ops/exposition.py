"""Prometheus' text for a moment: counters and histograms as `wa:stats` keeps them, gauges as they are now."""

from collections.abc import Iterable, Iterator

from prometheus_client import generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from app.ops.gauges import Moment
from shared.core.events import EventType
from shared.core.failures import FailureCode
from shared.core.lifecycle import STARTABLE, State
from shared.core.protocol import Method
from shared.core.webversion import ClientHealth
from shared.state.events import Result
from shared.telemetry.metrics import BUCKETS, UNKNOWN_REGION, Counter, Histogram, Swept, parse_field

Samples = dict[str, list[tuple[dict[str, str], int]]]
Labels = dict[str, str]

_METHODS: list[Labels] = [{"method": one.value} for one in Method]
_OF_NOBODY: Labels = {"region": UNKNOWN_REGION}

#: Counters that begin at 0, with the labels that are known beforehand: `increase()` misses an event that creates its
#: counter. A counter whose region, engine or job is not known yet begins with its first event.
ZEROS: dict[Counter, list[Labels]] = {
    Counter.ATTEMPTS: _METHODS,
    Counter.QR_SHOWN: [{}],
    Counter.CODES_GENERATED: [_OF_NOBODY],
    Counter.CODE_SUCCESSES: [{}],
    Counter.CODE_FAILURES: [{"reason": one.value} for one in FailureCode],
    Counter.QR_TO_CODE: [{}],
    Counter.LINKED: [one | _OF_NOBODY for one in _METHODS],
    Counter.VERIFIED: [one | _OF_NOBODY for one in _METHODS],
    Counter.DROPPED: [{}],
    Counter.FAILURES: [{"code": one.value} | _OF_NOBODY for one in FailureCode],
    Counter.ENDINGS: [{"state": one.value} for one in (State.LINKED, *sorted(STARTABLE - {State.UNLINKED}))],
    Counter.REFUSED: [{"code": one.value} for one in FailureCode],
    Counter.SWEPT: [{"kind": one.value} for one in Swept],
    Counter.UNANSWERED: [{}],
    Counter.QR_REFRESHED: [{}],
    Counter.WEBHOOKS: [{"type": kind.value, "result": one.value} for kind in EventType for one in Result],
    Counter.API_REFUSED: [{"reason": one} for one in ("none", "scope", "wrong")],
}


class _Collected(Collector):
    """Metrics that were read just now, as prometheus-client wants them."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        return iter(self._families)


def text(moment: Moment, *, sockets: int, switches: Iterable[str]) -> bytes:
    counted: Samples = {}
    for name, value in moment.stats.items():
        metric, labels = parse_field(name)
        counted.setdefault(metric, []).append((labels, value))
    families = [*_counters(counted), *_histograms(counted), *_gauges(moment, sockets), *_workers(moment, switches)]
    return generate_latest(_Collected(families))


def _counters(counted: Samples) -> Iterator[Metric]:
    for counter in Counter:
        samples = counted.get(counter.value, [])
        known = [labels for labels, _ in samples]
        samples = [*samples, *((labels, 0) for labels in ZEROS.get(counter, []) if labels not in known)]
        names = sorted({key for labels, _ in samples for key in labels})
        family = CounterMetricFamily(f"wa_{counter.value}", counter.says, labels=names)
        for labels, value in samples:
            family.add_metric([labels.get(name, "") for name in names], value)
        yield family


def _histograms(counted: Samples) -> Iterator[Metric]:
    for one in Histogram:
        family = HistogramMetricFamily(f"wa_{one.value}", one.says, labels=["method"])
        sums = {labels["method"]: value for labels, value in counted.get(f"{one.value}_ms", [])}
        hits: dict[str, dict[str, int]] = {}
        for labels, value in counted.get(f"{one.value}_bucket", []):
            hits.setdefault(labels["method"], {})[labels["le"]] = value
        for method, found in sorted(hits.items()):
            so_far, buckets = 0, []
            for bound in [*(f"{bound / 1000:g}" for bound in BUCKETS[one]), "+Inf"]:
                so_far += found.get(bound, 0)
                buckets.append((bound, float(so_far)))
            family.add_metric([method], buckets, sums.get(method, 0) / 1000)
        yield family


def _gauges(moment: Moment, sockets: int) -> Iterator[Metric]:
    attempts, sessions = moment.total("attempts"), moment.total("sessions")
    for name, told, value in (
        ("wa_sessions_held", "Linked sessions that living workers hold.", sessions),
        ("wa_session_slots_free", "Sessions that living workers could hold besides.", _free(moment, "sessions")),
        ("wa_attempts_running", "Onboardings that living workers serve now.", attempts),
        ("wa_attempt_slots_free", "Onboardings that living workers could serve besides.", _free(moment, "attempts")),
        ("wa_queue_length", "Onboardings that wait for a worker.", moment.waiting),
        ("wa_queue_age_seconds", "Wait of the first of them.", moment.oldest_ms / 1000),
        ("wa_other_jobs", "Jobs for sessions that any worker can do: waiting, later or running.", moment.other_jobs),
        ("wa_sessions_without_room", "Linked sessions that wait for a worker with room for them.", moment.unheld),
        ("wa_leases", "Sessions that a worker owns: attempts and linked devices.", moment.leases),
        ("wa_leases_without_heartbeat", "Leases that nobody renewed and nobody has swept yet.", moment.lapsed),
        ("wa_workers", "Workers with a recent heartbeat.", len(moment.living)),
        ("wa_workers_without_store", "Living workers that cannot reach the device store.", len(moment.ill_stores)),
        ("wa_client_age_days", "Age of the web version that workers claim; the oldest.", moment.worst("clientAgeDays")),
        ("wa_web_revision", "Revision of the web version that workers claim; the newest.", moment.worst("webRevision")),
        (
            "wa_workers_refused",
            "Living workers whose web version WhatsApp refuses, and which know no newer one.",
            len(moment.with_client(ClientHealth.REFUSED)),
        ),
        ("wa_sessions_outdated", "Sessions that wait for a version that WhatsApp takes.", moment.total("outdated")),
        (
            "wa_workers_without_media",
            "Living workers that cannot reach WhatsApp's media host.",
            sum(bool(one.fields.get("mediaAway")) for one in moment.living),
        ),
        (
            "wa_sessions_without_media",
            "Sessions that could not fetch a file of their history within the last quarter of an hour.",
            moment.total("mediaMissed"),
        ),
        ("wa_sockets", "Browser sockets on this web process.", sockets),
    ):
        yield GaugeMetricFamily(name, told, value=value)


def _free(moment: Moment, kind: str) -> int:
    return max(0, moment.total(f"max{kind.capitalize()}") - moment.total(kind))


def _workers(moment: Moment, switches: Iterable[str]) -> Iterator[Metric]:
    info = InfoMetricFamily("wa_worker", "Version of each living worker.", labels=["worker"])
    for worker in moment.living:
        info.add_metric([worker.id], {name: worker.fields.get(name, "") for name in ("version", "engine", "store")})
    yield info
    for name, told, field, factor in (
        (
            "wa_worker_memory_bytes",
            "Memory of a worker's processes, shared pages once, in the last minute.",
            "memoryMB",
            2**20,
        ),
        ("wa_worker_processes", "Processes of a worker: itself, its zygote and the engines.", "processes", 1),
        ("wa_worker_lag_seconds", "Delay with which a worker's loop woke up.", "lagMs", 0.001),
    ):
        family = GaugeMetricFamily(name, told, labels=["worker"])
        for worker in moment.living:
            family.add_metric([worker.id], worker.number(field) * factor)
        yield family
    thrown = GaugeMetricFamily("wa_switch_on", "Switches that are on.", labels=["switch"])
    for name in sorted(switches):
        thrown.add_metric([name], 1)
    yield thrown
