"""`doctor`: finds what should not be, and puts it right. What the dead have left is found by the sweeper's own finders
(`Leases.unowned`, `Outbox.overdue`), so that both say the same; each repair is what the sweeper would do later."""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from functools import partial

from app.cli import records, words
from app.cli.fleet import QueuedJob, jobs
from app.cli.records import SessionRecord
from app.cli.terminal import Operator, Output, line, table, until
from app.ops import gauges
from app.ops.gauges import Moment
from shared.core import keys
from shared.core.clock import now_ms
from shared.core.datum import Datum
from shared.core.ids import SessionId, WorkerId, company_of
from shared.core.lifecycle import DEVICE, RUNNING, State
from shared.core.webversion import ClientHealth, version_text
from shared.jobs.queue import enqueue, link_job_id
from shared.state.audit import record
from shared.state.events import News
from shared.state.lease import Leases
from shared.state.outbox import Outbox
from shared.state.rescue import SWEEP_GRACE_MS, Rescue
from shared.state.switches import Switches

OVERDUE_MS = 30_000
"""If nobody takes a due job for so long, no worker reads its queue, or all are busy."""
REPAIR_SECONDS = 10.0
"""The longest wait for repairs to show."""
REPORTED_MS = 60_000

Unowned = Mapping[SessionId, WorkerId | None]
"""Sessions that no living worker owns, with the dead worker that has left each."""


class Finding(Datum):
    """Something that should not be, found by a check, with its subject. `ill`: it counts for the exit code."""

    check: str
    what: str
    detail: str
    remedy: str
    repair: Callable[[], Awaitable[object]] | None = None
    ill: bool = True

    @property
    def key(self) -> tuple[str, str]:
        """The check and the subject, which stay the same while it is ill."""
        return self.check, self.what


async def doctor(op: Operator, *, repair: bool, by: str) -> Output:
    """Every check over everything; exit code 1 when something is (still) ill."""
    moment, known, findings = await _look(op)
    gone = await _repair(op, findings, by) if repair else set()
    rows, data, left = [], [], 0
    for one in findings:
        repaired = one.key in gone
        left += one.ill and not repaired
        rows.append((one.check, one.what, one.detail, "put right" if repaired else one.remedy))
        said = {"repairable": one.repair is not None, "repaired": repaired, "remedy": one.remedy}
        data.append({"check": one.check, "what": one.what, "detail": one.detail, **said})
    shown = table(f"{len(findings)} finding(s)", ("what is ill", "where", "detail", "remedy"), rows)
    well = f"Nothing is ill: {len(moment.living)} worker(s), {len(known)} session(s), {moment.leases} lease(s)."
    return Output(data, shown if findings else line(well), ill=left > 0)


async def _look(op: Operator) -> tuple[Moment, list[SessionRecord], list[Finding]]:
    """The service at this moment, and all that is ill."""
    moment = await gauges.read(op.redis)
    known = await records.everything(op.redis)
    switched = (await Switches(op.redis).look()).on
    unowned = await Leases(op.redis).unowned(
        [one.session for one in known if one.owner or one.state in DEVICE | RUNNING]
    )
    late = [one for one in await jobs(op, now_ms()) if one.due_ms > OVERDUE_MS and not one.running]
    findings = [
        *_workers(op, moment),
        *_clients(moment),
        *_engines(moment),
        *_confinement(moment),
        *_leases(op, moment, known, unowned),
        *_jobs_overdue(op, late),
        *_sessions(op, known, unowned),
        *_texts(op, await Outbox(op.redis).overdue()),
        *_drains(op, moment, switched),
    ]
    return moment, known, findings


async def _repair(op: Operator, findings: list[Finding], by: str) -> set[tuple[str, str]]:
    """The keys of the findings that a repair has ended. Workers do most of it, so it is looked at again for a while."""
    tried = set[tuple[str, str]]()
    for one in findings:
        if one.repair is not None:
            await one.repair()
            await record(op.redis, "doctor.repaired", one.what, by, detail=one.check)
            tried.add(one.key)
    left = tried

    async def are_gone() -> bool:
        nonlocal left
        left = tried & {one.key for one in (await _look(op))[2]}
        return not left

    await until(op, "putting right", REPAIR_SECONDS, are_gone)
    return tried - left


def _workers(op: Operator, moment: Moment) -> Iterator[Finding]:
    """Workers that are silent, report no more, have a wrong clock, or cannot reach the device store."""
    for one in moment.workers:
        if not one.alive:
            remedy = "--repair has its work taken over; restart it at its host"
            yield Finding("worker is silent", one.id, f"for {words.span(one.silent_ms)}", remedy, partial(_sweep, op))
    for one in moment.living:
        if one.number("at") and now_ms() - one.number("at") > REPORTED_MS:
            remedy = "onboarding drain, or restart it at its host"
            yield Finding("worker does not report", one.id, f"since {words.ago(one.number('at'))}", remedy)
    for worker, off in moment.wrong_clocks.items():
        remedy = "set the clock of its host (NTP); until then nothing here goes by it"
        yield Finding("clock is off", worker, off, remedy)
    for worker in moment.ill_stores:
        detail = "the worker holds what it has, and takes up nothing"
        yield Finding("device store is away", worker, detail, "look at Postgres, or the disk")
    if not moment.living:
        yield Finding("no worker is alive", "-", "nobody serves", "start one")


def _clients(moment: Moment) -> Iterator[Finding]:
    told = {
        ClientHealth.REFUSED: ("client is refused", "onboarding switch on web-version 2.3000.N (docs/operations.md)"),
        ClientHealth.UNKNOWN: ("client's version is unknown", "nothing helps when WhatsApp refuses it: mend neonize"),
        ClientHealth.OLD: ("client is old", "deploy a newer neonize before WhatsApp refuses this one"),
    }
    for health, (check, remedy) in told.items():
        for one in moment.with_client(health):
            claimed = f"{version_text(one.number('webRevision'))}, {one.number('clientAgeDays')} days old"
            waiting = one.number("outdated")
            yield Finding(check, one.id, f"{claimed}; {waiting} session(s) wait" if waiting else claimed, remedy)


def _engines(moment: Moment) -> Iterator[Finding]:
    """Sessions whose logins seem to kill their process; workers that cannot reach WhatsApp's media host, so that
    their sessions look linked and may hear nothing."""
    for one in moment.living:
        for session in filter(None, one.fields.get("quarantined", "").split(",")):
            remedy = "report the panic in the worker's log to neonize; or onboarding unlink, and link anew"
            yield Finding("session kills its process", session, f"it has one of its own, at {one.id}", remedy)
    for one in moment.without_media:
        away = one.fields.get("mediaAway", "")
        check = "media host is away" if away else "files cannot be fetched"
        detail = f"{away or 'it answers'}; {one.number('mediaMissed')} session(s) miss a file"
        yield Finding(check, one.id, detail, "let the proxy or firewall lead to *.whatsapp.net (docs/deploy.md)")


def _confinement(moment: Moment) -> Iterator[Finding]:
    """Workers whose kernel does not confine their engine processes. The host must change that, so it is no illness."""
    for one in moment.living:
        held = one.fields.get("held", "unknown")
        lacking = [way for way in ("landlock", "seccomp") if way not in held]
        if lacking and held != "unknown":
            remedy = "a kernel with Landlock (5.13) and seccomp; docs/security.md says what that costs"
            detail = f"without {' and '.join(lacking)}"
            yield Finding("engine processes are not held", one.id, detail, remedy, ill=False)


def _leases(op: Operator, moment: Moment, known: list[SessionRecord], unowned: Unowned) -> Iterator[Finding]:
    """Leases of dead workers, and heartbeats without lease: a worker that reports more sessions than it has leases."""
    for session, dead in unowned.items():
        if dead is not None:
            remedy = "--repair calls the sweeper"
            yield Finding("lease without heartbeat", session, f"{dead} has let it lapse", remedy, partial(_sweep, op))
    counts = Counter(one.owner for one in known if one.owned)
    for worker in moment.living:
        says, has = worker.number("sessions"), counts[worker.id]
        if says > has and now_ms() - worker.number("at") < gauges.WORKER_ALIVE_MS:
            detail = f"holds {says}, but owns {has}"
            yield Finding("heartbeat without lease", worker.id, detail, f"onboarding drain {worker.id}")


def _jobs_overdue(op: Operator, late: list[QueuedJob]) -> Iterator[Finding]:
    """Due jobs that nobody takes. A job whose data are gone can only be removed."""
    for one in late:
        repair: Callable[[], Awaitable[object]]
        if one.known:
            remedy, repair = "--repair wakes the workers", partial(op.redis.publish, keys.wake(one.queue), "1")
        else:
            remedy = "--repair removes it: its data are gone"
            repair = partial(op.redis.zrem, one.queue, one.id)
        yield Finding("job is overdue", one.id, f"{one.stands} in {one.queue}", remedy, repair)


def _sessions(op: Operator, known: list[SessionRecord], unowned: Unowned) -> Iterator[Finding]:
    """Onboardings that should have ended or that nobody serves, and devices that nobody holds or that are parked."""
    rescue = Rescue(op.redis, News(op.settings.told_events))
    for one in known:
        state = one.state.value
        if one.overdue_ms > SWEEP_GRACE_MS:
            detail = f"{state}, {words.span(one.overdue_ms)} past its deadline"
            remedy, repair = "--repair ends it; the owner can begin anew", partial(rescue.close_overdue, one.session)
            yield Finding("onboarding is stuck", one.session, detail, remedy, repair)
        elif one.state in RUNNING - {State.QUEUED, State.LINKING} and one.session in unowned:
            job_id = link_job_id(one.session, one.attempt)
            ids = op.redis, keys.QUEUE_LINKING, "link", one.session, one.attempt
            again = partial(enqueue, *ids, job_id=job_id)
            yield Finding("onboarding is served by nobody", one.session, state, "--repair enqueues it again", again)
        if one.state in DEVICE and one.session in unowned:
            remedy, dead = "--repair has a worker take it up", unowned[one.session]
            detail = f"{state}; left by {dead}" if dead else state
            yield Finding("device is held by nobody", one.session, detail, remedy, partial(_sweep, op))
        if one.parked:
            failure = one.body.failure
            until = f", until {words.clock(failure.retry_at)} UTC" if failure and failure.retry_at else ""
            remedy = f"it is tried again by itself; now: onboarding unpark {company_of(one.session)}"
            yield Finding("device is parked", one.session, f"{failure and failure.code}{until}", remedy)


def _texts(op: Operator, sessions: list[SessionId]) -> Iterator[Finding]:
    for session in sessions:
        detail, remedy = "no worker looks at its outbox", "--repair calls the sweeper"
        yield Finding("texts wait for nobody", session, detail, remedy, partial(_sweep, op))


def _drains(op: Operator, moment: Moment, switched: Iterable[str]) -> Iterator[Finding]:
    living = {one.id for one in moment.living}
    for name in switched:
        if name.startswith("drain:") and name.removeprefix("drain:") not in living:
            repair = partial(Switches(op.redis).throw, name, "", by="doctor")
            yield Finding("drain switch of nobody", name, "its worker is gone", "--repair takes it back", repair)


async def _sweep(op: Operator) -> None:
    await enqueue(op.redis, keys.QUEUE_SESSIONS, "sweep", job_id=f"sweep:doctor:{now_ms()}")
