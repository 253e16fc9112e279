"""`doctor`: what should not be, and how it is put right. Every repair is what the sweeper would do, only now."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from app.cli import records, words
from app.cli.acting import record
from app.cli.fleet import jobs
from app.cli.records import SessionRecord
from app.cli.terminal import Operator, Output, line, table
from app.ops import gauges
from app.ops.gauges import Moment, WorkerView
from shared.core import keys
from shared.core.clock import now_ms
from shared.core.ids import WorkerId, company_of
from shared.core.lifecycle import DEVICE, RUNNING, State
from shared.core.webversion import ClientHealth, version_text
from shared.jobs.queue import enqueue, link_job_id
from shared.state.events import News
from shared.state.rescue import SWEEP_GRACE_MS, Rescue
from shared.state.switches import Switches

OVERDUE_MS = 30_000
"""A due job that nobody has taken for this long: no worker reads its queue, or all are busy."""
REPORTED_MS = 60_000


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that should not be: which of the checks found it, what it is about, and how to put it right."""

    check: str
    what: str
    detail: str
    repair: Callable[[], Awaitable[object]] | None = None
    remedy: str = ""
    ill: bool = True


async def doctor(op: Operator, *, repair: bool, by: str) -> Output:
    """Every check over everything; exit code 1 when something is (still) ill."""
    moment = await gauges.read(op.redis)
    known = await records.everything(op.redis)
    findings = [
        *_workers(op, moment),
        *_clients(moment),
        *_quarantined(moment),
        *_unheld_engines(moment),
        *_media(moment),
        *_leases(op, moment, known),
        *await _jobs_overdue(op),
        *_stuck(op, known),
        *_unheld(op, known),
        *_parked(known),
        *await _drains(op, moment),
    ]
    rows, data, left = [], [], 0
    for one in findings:
        repaired = False
        if repair and one.repair is not None:
            await one.repair()
            await record(op, "doctor.repaired", one.what, by, detail=one.check)
            repaired = True
        left += one.ill and not repaired
        rows.append((one.check, one.what, one.detail, "put right" if repaired else one.remedy))
        data.append(
            {
                "check": one.check,
                "what": one.what,
                "detail": one.detail,
                "repairable": one.repair is not None,
                "repaired": repaired,
                "remedy": one.remedy,
            }
        )
    shown = table(f"{len(findings)} finding(s)", ("what is ill", "where", "detail", "remedy"), rows)
    well = f"Nothing is ill: {len(moment.living)} worker(s), {len(known)} session(s), {moment.leases} lease(s)."
    return Output(data, shown if findings else line(well), ill=left > 0)


def _workers(op: Operator, moment: Moment) -> list[Finding]:
    """Heartbeats that stopped, and workers that beat but no longer report: their loop is not what it should be."""
    found = [
        Finding(
            "worker is silent",
            one.id,
            f"for {words.span(one.silent_ms)}",
            partial(_sweep, op),
            "--repair has its work taken over; restart it at its host",
        )
        for one in moment.workers
        if not one.alive
    ]
    found += [
        Finding(
            "worker does not report",
            one.id,
            f"since {words.ago(one.number('at'))}",
            None,
            "onboarding drain, or restart it at its host",
        )
        for one in moment.living
        if one.number("at") and now_ms() - one.number("at") > REPORTED_MS
    ]
    found += [
        Finding("clock is off", one, word, None, "set the clock of its host (NTP); until then nothing here goes by it")
        for one, word in moment.wrong_clocks.items()
    ]
    found += [
        Finding(
            "device store is away",
            one,
            "the worker holds what it has, and takes up nothing",
            None,
            "look at Postgres, or the disk",
        )
        for one in moment.ill_stores
    ]
    if not moment.living:
        found.append(Finding("no worker is alive", "-", "nobody serves", None, "start one"))
    return found


def _clients(moment: Moment) -> list[Finding]:
    """Clients that WhatsApp refuses, or soon will."""
    told = {
        ClientHealth.REFUSED: ("client is refused", "onboarding switch on web-version 2.3000.N (docs/operations.md)"),
        ClientHealth.UNKNOWN: ("client's version is unknown", "nothing helps when WhatsApp refuses it: mend neonize"),
        ClientHealth.OLD: ("client is old", "deploy a newer neonize before WhatsApp refuses this one"),
    }
    return [
        Finding(check, one.id, _client(one), None, remedy)
        for health, (check, remedy) in told.items()
        for one in moment.with_client(health)
    ]


def _quarantined(moment: Moment) -> list[Finding]:
    """Sessions whose logins seem to kill the process that holds them."""
    return [
        Finding(
            "session kills its process",
            session,
            f"it has one of its own, at {one.id}",
            None,
            "report the panic in the worker's log to neonize; or onboarding unlink, and link anew",
        )
        for one in moment.living
        for session in filter(None, one.fields.get("quarantined", "").split(","))
    ]


def _media(moment: Moment) -> list[Finding]:
    """Workers that WhatsApp's media host is away from: their sessions look linked, and may hear nothing."""
    return [
        Finding(
            "media host is away" if (why := one.fields.get("mediaAway", "")) else "files cannot be fetched",
            one.id,
            f"{why or 'it answers'}; {one.number('mediaMissed')} session(s) miss a file",
            None,
            "let the proxy or firewall lead to *.whatsapp.net (docs/deploy.md)",
        )
        for one in moment.without_media
    ]


def _unheld_engines(moment: Moment) -> list[Finding]:
    """Workers whose kernel does not hold their engine processes. That is the host's, and no illness."""
    wanted = ("landlock", "seccomp")
    return [
        Finding(
            "engine processes are not held",
            one.id,
            f"without {' and '.join(lacking)}",
            None,
            "a kernel with Landlock (5.13) and seccomp; docs/security.md says what that costs",
            ill=False,
        )
        for one in moment.living
        if "held" in one.fields and (lacking := [way for way in wanted if way not in one.fields["held"]])
    ]


def _client(worker: WorkerView) -> str:
    waiting = worker.number("outdated")
    claimed = f"{version_text(worker.number('webRevision'))}, {worker.number('clientAgeDays')} days old"
    return f"{claimed}; {waiting} session(s) wait" if waiting else claimed


def _leases(op: Operator, moment: Moment, known: list[SessionRecord]) -> list[Finding]:
    """Leases without heartbeat, and heartbeats without lease: a worker that says it holds more than it has leases."""
    found = [
        Finding(
            "lease without heartbeat",
            one.session,
            f"{one.owner} has let it lapse",
            partial(_sweep, op),
            "--repair calls the sweeper",
        )
        for one in known
        if one.owner is not None and not one.owned
    ]
    counts: dict[WorkerId, int] = {}
    for one in known:
        if one.owned and one.owner is not None:
            counts[one.owner] = counts.get(one.owner, 0) + 1
    for worker in moment.living:
        says, has = worker.number("sessions"), counts.get(worker.id, 0)
        if says > has and now_ms() - worker.number("at") < gauges.WORKER_ALIVE_MS:
            found.append(
                Finding(
                    "heartbeat without lease",
                    worker.id,
                    f"holds {says}, but owns {has}",
                    None,
                    "onboarding drain " + worker.id,
                )
            )
    return found


async def _jobs_overdue(op: Operator) -> list[Finding]:
    """Due jobs that nobody takes; one whose data are gone can only be removed."""
    late = [one for one in await jobs(op, now_ms()) if one["dueMs"] > OVERDUE_MS and not one["running"]]
    return [
        Finding(
            "job is overdue",
            one["job"],
            f"{one['is']} in {one['queue']}",
            partial(op.redis.publish, keys.wake(one["queue"]), "1")
            if one["known"]
            else partial(op.redis.zrem, one["queue"], one["job"]),
            "--repair wakes the workers" if one["known"] else "--repair removes it: its data are gone",
        )
        for one in late
    ]


def _stuck(op: Operator, known: list[SessionRecord]) -> list[Finding]:
    """Onboardings that should have ended, and queued ones whose job is gone."""
    return [
        Finding(
            "onboarding is stuck",
            one.session,
            f"{one.state.value}, {words.span(one.overdue_ms)} past its deadline",
            partial(Rescue(op.redis, News(op.settings.settings.told_events)).close_overdue, one.session),
            "--repair ends it; the owner can begin anew",
        )
        for one in known
        if one.overdue_ms > SWEEP_GRACE_MS
    ]


def _unheld(op: Operator, known: list[SessionRecord]) -> list[Finding]:
    """Linked devices that nobody holds; and running onboardings that neither a worker nor the queue has."""
    found = [
        Finding(
            "device is held by nobody",
            one.session,
            one.state.value,
            partial(_sweep, op),
            "--repair has a worker take it up",
        )
        for one in known
        if one.state in DEVICE and not one.owned
    ]
    found += [
        Finding(
            "onboarding is served by nobody",
            one.session,
            one.state.value,
            partial(_again, op, one),
            "--repair enqueues it again",
        )
        for one in known
        if one.state in RUNNING - {State.QUEUED, State.LINKING} and not one.owned and one.overdue_ms <= SWEEP_GRACE_MS
    ]
    return found


def _parked(known: list[SessionRecord]) -> list[Finding]:
    """Devices that are kept but not held: banned, or replaced by somebody who has the same keys."""
    found = []
    for one in known:
        if one.parked:
            failure = one.body.get("failure") or {}
            again = failure.get("retryAt")
            detail = (
                f"{failure.get('code', '?')}, until {words.clock(again)} UTC" if again else str(failure.get("code"))
            )
            remedy = f"it is tried again by itself; now: onboarding unpark {company_of(one.session)}"
            found.append(Finding("device is parked", one.session, detail, None, remedy))
    return found


async def _drains(op: Operator, moment: Moment) -> list[Finding]:
    """Drain switches of workers that are gone."""
    switches = Switches(op.redis)
    living = {one.id for one in moment.living}
    gone = [
        name
        for name in (await switches.look()).on
        if name.startswith("drain:") and name.removeprefix("drain:") not in living
    ]
    return [
        Finding(
            "drain switch of nobody",
            name,
            "its worker is gone",
            partial(switches.throw, name, "", by="doctor"),
            "--repair takes it back",
        )
        for name in gone
    ]


async def _sweep(op: Operator) -> None:
    await enqueue(op.redis, keys.QUEUE_SESSIONS, "sweep", job_id=f"sweep:doctor:{now_ms()}")


async def _again(op: Operator, one: SessionRecord) -> Any:
    await enqueue(
        op.redis, keys.QUEUE_LINKING, "link", one.session, one.attempt, job_id=link_job_id(one.session, one.attempt)
    )
