"""`top`: the service as it moves, on one screen. Each look is one round trip to what is counted anyway, and never a walk
over all keys: it costs the same with ten sessions and with ten thousand."""

import asyncio
import sys
from typing import Any

from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from app.cli import words
from app.cli.fleet import WORKER_HEADS, worker_row
from app.cli.looking import overview
from app.cli.records import newest
from app.cli.terminal import Operator, Output, table, together
from app.ops import gauges
from app.ops.gauges import Moment
from shared.core import keys, odd
from shared.core.clock import now_ms
from shared.core.datum import Datum
from shared.core.events import EventType
from shared.telemetry.metrics import Counter, parse_field

ENDINGS = {
    EventType.SESSION_LINKED: ("linked", "green"),
    EventType.SESSION_VERIFIED: ("still there after the first minute", "green"),
    EventType.ONBOARDING_FAILED: ("failed", "red"),
    EventType.ONBOARDING_EXPIRED: ("expired", "yellow"),
    EventType.ONBOARDING_CANCELLED: ("cancelled", "yellow"),
    EventType.SESSION_DROPPED: ("dropped", "red"),
    EventType.SESSION_UNLINKED: ("unlinked", "red"),
}
"""The events of the feed that end something, and how they are shown."""
SHOWN = 8
_LOOK_BACK = 200
"""Events of the feed that one look reads at most: messages fill it too."""
COUNTED = (Counter.ATTEMPTS, Counter.QR_SHOWN, Counter.CODES_GENERATED, Counter.LINKED, Counter.FAILURES)


class Glance(Datum):
    """The service at one look. `endings`: of each `at` (ms since the epoch), `company`, `event`, and `why`."""

    at: int
    moment: Moment
    endings: list[dict[str, Any]]

    def counts(self) -> dict[str, int]:
        """Counters, summed over their labels."""
        sums = dict.fromkeys((one.value for one in COUNTED), 0)
        for name, value in self.moment.stats.items():
            metric, _ = parse_field(name)
            if metric in sums:
                sums[metric] += value
        return sums

    def data(self) -> dict[str, Any]:
        return {"at": self.at, **overview(self.moment), "counted": self.counts(), "endings": self.endings}


async def look(op: Operator) -> Glance:
    moment = await gauges.read(op.redis)
    entries = await newest(op.redis, keys.FEED, _LOOK_BACK, "type", "body")
    found = [one for entry in entries if (one := _ending(entry)) is not None]
    return Glance(now_ms(), moment, found[:SHOWN])


def _ending(entry: dict[str, Any]) -> dict[str, Any] | None:
    """An entry of the feed that ends something; None for any other, and for what is no event."""
    body = odd.fields(entry["body"])
    if entry["type"] not in ENDINGS or "companyId" not in body:
        return None
    failure = body.get("failure")
    why = failure.get("code", "") if isinstance(failure, dict) else ""
    return {"at": entry["at"], "company": str(body["companyId"]), "event": entry["type"], "why": str(why)}


def screen(now: Glance, first: Glance) -> RenderableType:
    """The screen. `first`: the look with which the person began, from which `since` counts."""
    moment = now.moment
    silent = len(moment.workers) - len(moment.living)
    wait = f", the first since {words.span(moment.oldest_ms)}" if moment.waiting else ""
    head = Text.assemble(
        (words.clock(now.at)[:19] + " UTC", "bold"),
        ("   no worker is alive" if not moment.living else "", "bold red"),
        (f"   {silent} worker(s) are silent" if silent else "", "bold red"),
        (f"   {moment.unheld} session(s) find no room" if moment.unheld else "", "bold red"),
    )
    before = first.counts()
    counted = [(name.replace("_", " "), value, value - before[name]) for name, value in now.counts().items()]
    shown = [(one, Text(*ENDINGS[EventType(one["event"])])) for one in now.endings]
    ended = [(words.clock(one["at"])[:19], one["company"], what, one["why"]) for one, what in shown]
    counts = Text(
        f"onboardings {moment.total('attempts')} of {moment.total('maxAttempts')}, {moment.waiting} wait{wait}"
        f"   sessions {moment.total('sessions')} of {moment.total('maxSessions')}   other jobs {moment.other_jobs}"
    )
    return together(
        Group(head, counts),
        table("Workers", WORKER_HEADS, map(worker_row, moment.workers)),
        table("Counted", ("what", "all", "since you look"), counted),
        table("Endings, the newest first", ("when (UTC)", "company", "what", "why"), ended),
    )


async def top(op: Operator, *, once: bool, interval: float) -> Output:
    """Look again and again until Ctrl-C; once, if that was asked for or nobody looks at a terminal."""
    first = await look(op)
    if once or op.as_json or not sys.stdout.isatty():
        return Output(first.data(), screen(first, first), ill=not first.moment.living)
    with Live(screen(first, first), console=op.console, screen=True, auto_refresh=False) as live:
        while True:
            await asyncio.sleep(interval)
            live.update(screen(await look(op), first), refresh=True)
