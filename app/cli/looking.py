"""`status` and `sessions`: how the service does, where a company stands."""

from collections.abc import Mapping
from typing import Any

from rich.console import Group
from rich.text import Text

from app.cli import records, words
from app.cli.story import timeline
from app.cli.terminal import Cannot, Operator, Output, table, together
from app.ops import gauges
from app.ops.gauges import Moment
from shared.core import keys, odd
from shared.core.clock import now_ms
from shared.core.lifecycle import State
from shared.state.cooldowns import Cooldowns, waits_until
from shared.state.pool import answer
from shared.state.snapshots import Snapshots
from shared.telemetry.metrics import Counter, parse_field


async def status(op: Operator, *, company: str | None) -> Output:
    return await (_of_company(op, company) if company else _of_service(op))


async def _of_service(op: Operator) -> Output:
    moment = await gauges.read(op.redis)
    told = await op.redis.info()
    switches = sorted(odd.text(one) for one in await answer(op.redis.hkeys(keys.SWITCH)))
    limit = int(told["maxmemory"])
    full = bool(limit) and told["used_memory"] > 0.9 * limit
    data: dict[str, Any] = overview(moment) | {
        "leasesWithoutHeartbeat": moment.lapsed,
        "storeAway": moment.ill_stores,
        "redis": {"version": told["redis_version"], "usedBytes": told["used_memory"], "maxBytes": limit},
        "switches": switches,
        "stats": moment.stats,
    }
    silent = data["workers"]["silent"]
    checks = {
        "no worker is alive": not moment.living,
        f"{silent} worker(s) are silent": silent,
        f"{moment.lapsed} lease(s) without heartbeat": moment.lapsed,
        "the device store is out of reach": moment.ill_stores,
        "Redis is nearly full": full,
    }
    data["ill"] = ills = [what for what, is_so in checks.items() if is_so]

    of = f" of {limit / 2**20:.0f} MB" if limit else ""
    rows = [
        ("workers", f"{len(moment.living)} alive, {silent} silent"),
        ("onboardings", "{running} of {slots} places".format(**data["attempts"]) + f", {moment.waiting} wait"),
        ("sessions held", "{held} of {slots} places".format(**data["sessions"])),
        ("oldest in the queue", words.span(moment.oldest_ms) if moment.waiting else "-"),
        ("Redis", f"{told['redis_version']}, {told['used_memory'] / 2**20:.1f} MB{of}"),
        ("switches on", ", ".join(switches) or "-"),
    ]

    well = Text("All is well.", "bold green")
    first = Text.assemble(("ill:", "bold red"), " ", "; ".join(ills)) if ills else well
    counted = table("Counted so far", ("what", "of", "number"), _sums(moment.stats))
    return Output(data, together(Group(first, table("", ("", ""), rows)), counted), bool(ills))


def overview(moment: Moment) -> dict[str, Any]:
    """The whole service, as `status` and `top` tell it to programs."""
    return {
        "workers": {"alive": len(moment.living), "silent": len(moment.workers) - len(moment.living)},
        "attempts": {"running": moment.total("attempts"), "slots": moment.total("maxAttempts")},
        "sessions": {
            "held": moment.total("sessions"),
            "slots": moment.total("maxSessions"),
            "waiting": moment.unheld,
        },
        "queue": {"waiting": moment.waiting, "oldestMs": moment.oldest_ms, "otherJobs": moment.other_jobs},
    }


def _sums(stats: Mapping[str, int]) -> list[tuple[str, str, int]]:
    """The counters but the funnel, with the labels that tell something."""
    named = [(*parse_field(name), value) for name, value in sorted(stats.items())]
    shown = set(Counter) - {Counter.FUNNEL}
    return [(metric, ", ".join(labels.values()), value) for metric, labels, value in named if metric in shown]


async def _of_company(op: Operator, company: str) -> Output:
    session = records.session_named(company)
    record = await records.read_one(op.redis, session)
    if record is None:
        raise Cannot(f"Nothing is known of {company}: it never asked to be linked, or more than 30 days ago.")
    data, body = record.data(), record.body
    rows: list[tuple[str, object]] = [
        ("state", record.state.value),
        ("attempt", f"{record.attempt}, change {record.seq}"),
        ("method", body.method or "-"),
        ("held by", f"{record.owner} (token {record.token})" if record.owned else "nobody"),
    ]
    if device := body.device:
        rows.append(("device", f"{device.phone}, {device.name}, linked {words.ago(device.linked_at)}"))
    if body.failure:
        rows.append(("failure", body.failure.code))
    if record.overdue_ms:
        rows.append(("overdue", words.span(record.overdue_ms)))
    if record.state is State.QUEUED:
        rank = await Snapshots(op.redis).place(record)
        data["queuePosition"] = rank
        rows.append(("waiting before it", rank if rank is not None else "not in the queue"))
    if op.may_sign:
        name = Cooldowns(op.redis, op.settings.secret_key).of_company(session)
        if wait := waits_until(await op.redis.get(name)):
            data["coolDownUntil"] = wait
            rows.append(("cool-down", f"until {words.clock(wait)} UTC"))
    past = await timeline(op, company=company, last=8, follow=False)
    data["timeline"] = past.data
    return Output(data, together(table(f"{session}", ("", ""), rows), past.shown))


async def sessions(op: Operator, *, state: str | None) -> Output:
    if state and state not in set(State):
        raise Cannot(f"There is no state {state!r}; there are {', '.join(State)}.")
    found = [one for one in await records.everything(op.redis) if state in {None, one.state.value}]
    rows = []
    for one in found:
        device, failure = one.body.device, one.body.failure
        since = words.span(now_ms() - device.linked_at) if device else ""
        about = device.phone if device else failure.code if failure else ""
        rows.append((one.session, one.state.value, one.owner if one.owned else "-", one.attempt, since, about))
    heads = ("session", "state", "held by", "attempt", "linked for", "phone or failure")
    shown = table(f"{len(rows)} session(s)" + (f" in {state}" if state else ""), heads, rows)
    return Output([one.data() for one in found], shown)
