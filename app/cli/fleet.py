"""`workers`, `queue`, `drain` and `switch`: the machines and how they are steered."""

import contextlib
from typing import Any

from arq.constants import in_progress_key_prefix, job_key_prefix
from rich.text import Text

from app.cli import records, words
from app.cli.terminal import Cannot, Operator, Output, line, table, together, until
from app.ops import gauges
from app.ops.gauges import WorkerView
from shared.core import keys, odd
from shared.core.clock import now_ms
from shared.core.datum import Datum
from shared.core.lifecycle import RUNNING
from shared.state.pool import answer
from shared.state.switches import MEANING, Switches, UnknownSwitch, checked
from shared.wa import batches

DRAIN_SECONDS = 40.0


WORKER_HEADS = ("worker", "alive", "attempts", "sessions", "memory", "lag", "store", "up", "version")


def worker_row(one: WorkerView) -> tuple[object, ...]:
    return (
        one.id,
        Text("yes", "green") if one.alive else Text(f"silent {words.span(one.silent_ms)}", "red"),
        f"{one.number('attempts')}/{one.number('maxAttempts')}",
        f"{one.number('sessions')}/{one.number('maxSessions')}",
        f"{one.number('memoryMB')} MB",
        f"{one.number('lagMs')} ms",
        one.fields.get("store", "?"),
        words.span(now_ms() - one.number("started")) if one.number("started") else "?",
        f"{one.fields.get('version', '?')}, neonize {one.fields.get('engine', '?')}",
    )


async def workers(op: Operator) -> Output:
    found = (await gauges.read(op.redis)).workers
    shown = table("Workers", WORKER_HEADS, [worker_row(one) for one in found])
    data = [
        {"worker": one.id, "alive": one.alive, "silentMs": one.silent_ms}
        | {name: one.number(name) if value.lstrip("-").isdigit() else value for name, value in one.fields.items()}
        for one in found
    ]
    return Output(data, shown, ill=not found or not all(one.alive for one in found))


async def queue(op: Operator) -> Output:
    now = now_ms()
    waiting = [
        (place, odd.text(job), max(0, now - odd.number(at)))
        for place, (job, at) in enumerate(await op.redis.zrange(keys.QUEUE_LINKING, 0, -1, withscores=True))
    ]
    served = [one for one in await records.everything(op.redis) if one.state in RUNNING and one.owned]
    others = await jobs(op, now)
    failed = await records.newest(op.redis, keys.FAILED_JOBS, 10, "job", "session", "error")
    data = {
        "waiting": [{"place": place, "job": job, "waitingMs": ms} for place, job, ms in waiting],
        "served": [one.data() for one in served],
        "jobs": [one.data() for one in others],
        "failed": failed,
    }
    waits = [(place, job, words.span(ms)) for place, job, ms in waiting]
    left = [words.span(one.body.deadline - now) if one.body.deadline else "" for one in served]
    serves = [(one.session, one.state.value, one.owner, time) for one, time in zip(served, left, strict=True)]
    fails = [(words.clock(one["at"]), one["job"], one["session"], one["error"]) for one in failed]
    shown = together(
        table("Waiting", ("place", "job", "for"), waits, empty="nobody"),
        table("Served", ("session", "state", "by", "time left"), serves, empty="nobody"),
        table("Other jobs", ("job", "queue", "is"), [(one.id, one.queue, one.stands) for one in others]),
        table("Failed jobs, the newest first", ("when (UTC)", "job", "session", "error"), fails),
    )
    return Output(data, shown)


class QueuedJob(Datum):
    """A job of a queue. `due_ms`: for how long it has been due; below 0 it is due later. `known`: its data are there."""

    id: str
    queue: str
    due_ms: int
    running: bool
    known: bool

    @property
    def stands(self) -> str:
        return "running" if self.running else f"{'due for' if self.due_ms >= 0 else 'in'} {words.span(self.due_ms)}"

    def data(self) -> dict[str, Any]:
        told = {"job": self.id, "queue": self.queue, "is": self.stands, "dueMs": self.due_ms}
        return told | {"running": self.running, "known": self.known}


async def jobs(op: Operator, now: int) -> list[QueuedJob]:
    """The jobs of the sessions' queue and of the workers' own."""
    workers = (await gauges.read(op.redis)).workers
    queues = [keys.QUEUE_SESSIONS, keys.QUEUE_RESUME, *(keys.queue_worker(one.id) for one in workers)]
    async with op.redis.pipeline(transaction=False) as pipe:
        for queue in queues:
            pipe.zrange(queue, 0, 199, withscores=True)
        waiting = await pipe.execute()
    found = [
        (odd.text(job), queue, now - odd.number(at))
        for queue, jobs in zip(queues, waiting, strict=True)
        for job, at in jobs
    ]
    there: list[bool] = []
    for some in batches(found):
        async with op.redis.pipeline(transaction=False) as pipe:
            for name, _, _ in some:
                pipe.exists(in_progress_key_prefix + name)
                pipe.exists(job_key_prefix + name)
            there += map(bool, await pipe.execute())
    return [QueuedJob(*one, *is_there) for one, is_there in zip(found, batches(there, 2), strict=True)]


async def drain(op: Operator, *, worker: str, wait: bool, by: str) -> Output:
    living = (await gauges.read(op.redis)).living
    fits = [one for one in living if worker and one.id.startswith(worker)]
    if len(fits) != 1:
        known = ", ".join(one.id for one in living) or "none"
        raise Cannot(f"{worker!r} names {'no' if not fits else 'more than one'} living worker; there are: {known}.")
    (one,), others = fits, len(living) - 1
    await Switches(op.redis).throw(f"drain:{one.id}", "on", by=by)

    held, doing = one.number("sessions"), Text("handing over")

    async def is_gone() -> bool:
        left = await answer(op.redis.scard(keys.held(one.id)))
        doing.plain = f"handing over, {left} of {max(held, left)} sessions left" if left else "ending"
        return await op.redis.zscore(keys.WORKERS, one.id) is None

    gone = wait and await until(op, doing, DRAIN_SECONDS, is_gone)
    said = f"{one.id} has handed over and ended." if gone else f"{one.id} is told to hand over."
    if not others:
        said += " No other worker is alive: its sessions wait for the next one."
    data = {"worker": one.id, "gone": gone, "sessions": held, "otherWorkers": others}
    return Output(data, line(said), ill=wait and not gone)


async def switches(op: Operator) -> Output:
    board = await Switches(op.redis).look()
    acts = await records.newest(op.redis, keys.OPERATORS, keys.TIMELINE_LENGTH, "event", "what")
    thrown = {one["what"]: one for one in reversed(acts) if one["event"] == "switch.on"}
    data, rows = [], []
    for name, value in sorted(board.on.items()):
        record = thrown.get(name, {})
        since, by, why = record.get("at"), record.get("by"), record.get("why")
        data.append({"switch": name, "value": value, "since": since, "by": by, "why": why})
        rows.append((name, value, words.ago(since) if since else "?", by or "?", why or ""))
    there = table("There are", ("switch", "does"), list(MEANING.items()))
    return Output(data, together(table("On", ("switch", "value", "since", "by", "why"), rows, empty="nothing"), there))


async def throw(op: Operator, *, name: str, value: str, by: str, why: str) -> Output:
    with contextlib.suppress(UnknownSwitch):  # who throws it off may write it as for on; anything may be taken back
        name = checked(name)[0] if not value else name
    was = await answer(op.redis.hget(keys.SWITCH, name))
    if not value and was is None:
        return Output({"switch": name, "on": False, "changed": False}, line(f"{name} was off already."))
    try:
        board = await Switches(op.redis).throw(name, value, by=by, why=why)
    except UnknownSwitch as error:
        raise Cannot(f"{str(error)[0].upper()}{str(error)[1:]}.") from None
    said = f"{name} is {f'on ({value})' if value not in {'', 'on'} else value or 'off'}, on every process."
    data = {"switch": name, "on": bool(value), "changed": True, "board": board.on}
    return Output(data, line(said))
