"""The words of an import: tables and lines for people, lines of JSON for programs. Numbers are masked in both."""

import json
import sys
import time
from collections import Counter

from rich.console import Console
from rich.table import Table
from rich.text import Text

from shared.core.plain import defused
from workers.moving.take import Taken
from workers.moving.verdicts import JudgedDevice, MoveVerdict

_SHORT = ("name", "phone", "device", "linked", "used", "company")


def counted(counts: Counter[str]) -> str:
    """`808 prekeys, 6 sessions`."""
    return ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)


def say(text: str) -> None:
    sys.stdout.write(f"{defused(text)}\n")
    sys.stdout.flush()


def _day(moment: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(moment)) if moment else "-"


class MoveScreen:
    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._told: dict[str, int] = {}
        self._console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)

    def judged(self, judged: list[JudgedDevice], *, dry: bool) -> None:
        """Print every device and its verdict."""
        if self._as_json:
            for one in judged:
                say(json.dumps(_data(one)))
            return
        grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for head in (*_SHORT, "verdict", "carries, remarks"):
            grid.add_column(head, header_style="dim")
        for one in judged:
            data = _data(one)
            verdict = f"{one.verdict.says}{f': {one.why}' if one.why else ''}"
            more = "; ".join(filter(None, (str(data["carries"]), one.remarks)))
            said = [*(str(data[name] or "") for name in _SHORT), verdict, more]
            grid.add_row(*(Text(defused(one)) for one in said))
        self._console.print(grid)
        wanted = sum(one.verdict in {MoveVerdict.TAKE, MoveVerdict.AGAIN} for one in judged)
        say(f"{wanted} of {len(judged)} can be taken over.{' Nothing was written.' if dry else ''}")

    def taken(self, one: Taken, of: int) -> None:
        """Print the outcome of one device out of `of`, as soon as it is known, and again if it changes."""
        name, outcome = one.judged.found.label, one.outcome.value
        place = f"{self._told.setdefault(one.judged.company, len(self._told) + 1)}/{of}"
        if self._as_json:
            say(json.dumps({"name": name, "company": one.judged.company, "outcome": outcome, "why": one.why}))
        else:
            say(f"{place} {name} -> {one.judged.company}: {outcome}. {one.why[:1].upper()}{one.why[1:]}.")

    def finish(self, taken: list[Taken], wanted: list[JudgedDevice], left: list[JudgedDevice]) -> None:
        """Print the number of devices, and of those left alone. `left`: those beyond `--most`."""
        if self._as_json:
            return
        counts = Counter(one.outcome.value for one in taken)
        say(f"{len(taken)} of {len(wanted)}: {counted(counts)}.")
        if len(taken) < len(wanted):
            say("Stopped early: several in a row did not stay. Find out why, then say the command again.")
        elif left:
            say(f"{len(left)} are left for the next batch: say the command again.")


def _data(one: JudgedDevice) -> dict[str, object]:
    found = one.found
    return {
        "name": found.label,
        "phone": found.number,
        "device": found.jid.partition("@")[0].rpartition(":")[2],
        "company": one.company,
        "verdict": one.verdict.value,
        "why": one.why,
        "remarks": one.remarks,
        "carries": counted(found.counts),
        "linkedAt": found.linked_at or None,
        "usedAt": round(found.touched * 1000) or None,
        "linked": _day(found.linked_at / 1000),
        "used": _day(found.touched),
    }
