"""Verdicts on the devices of a source: a pure decision over what was found and what is known here."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from shared.core import phone
from shared.core.datum import Datum
from shared.core.described import Described
from shared.core.ids import COMPANY_PATTERN, company_of
from workers.moving.rows import Rows
from workers.store.device import StoredDevice

QUIET_SECONDS = 600.0
"""An old client that wrote this lately may still run. Two clients of one device replace each other for ever."""
OLD_SECONDS = 13 * 86400.0
"""WhatsApp unlinks devices that stay away for about two weeks."""


class MoveVerdict(Described):
    """The decision for one device. `again`: it was taken over and is parked; `there`: it is held here already."""

    TAKE = "take", "can be taken over"
    AGAIN = "again", "can be tried again"
    THERE = "there", "there already"
    REFUSED = "refused", "REFUSED"


@dataclass(slots=True)
class Candidate:
    """One device of a source.

    A device with `stops` is not taken over; `remarks` are for the operator. `counts` says what its rows carry. `touched` is
    when the old client last wrote (seconds since the epoch; 0: unknown), `linked_at` when the phone agreed (ms; 0: unknown).
    """

    name: str
    jid: str = ""
    stops: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    touched: float = 0.0
    linked_at: int = 0
    rows: Rows = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The name as it may be shown and kept: the device's own number in it is masked."""
        own = phone.of_jid(self.jid)
        return self.name.replace(own[1:], phone.masked(own)) if self.jid else self.name

    @property
    def number(self) -> str:
        """The phone, masked."""
        return phone.masked(phone.of_jid(self.jid)) if self.jid else "-"


class Rules(Datum):
    """The operator's wishes. `companies`: companies by the old system's names or jids; None: each name is a company."""

    companies: Mapping[str, str] | None = None
    replace: bool = False
    again: bool = False

    def company_of(self, one: Candidate) -> str:
        """The company of a device; empty if the map does not name it."""
        if self.companies is None:
            return one.name
        return self.companies.get(one.name) or self.companies.get(one.jid) or ""


class Known(Datum):
    """Knowledge of this service: registered devices, companies whose onboarding runs, the time (seconds since the epoch)."""

    registered: Sequence[StoredDevice]
    running: frozenset[str]
    now: float

    def of_jid(self, jid: str) -> StoredDevice | None:
        return next((one for one in self.registered if jid and one.jid == jid), None)

    def of_company(self, company: str) -> StoredDevice | None:
        return next((one for one in self.registered if company and company_of(one.session) == company), None)


class JudgedDevice(Datum):
    """One device, its company (empty if it has none) and its verdict. `why`: the reasons of a refusal, in one line."""

    found: Candidate
    company: str
    verdict: MoveVerdict
    why: str = ""
    remarks: str = ""


def is_company(text: str) -> bool:
    return re.fullmatch(COMPANY_PATTERN, text) is not None


def judge(found: Sequence[Candidate], known: Known, rules: Rules) -> list[JudgedDevice]:
    """A verdict for each candidate, in their order."""
    newest = {one.jid: one for one in sorted(found, key=lambda one: one.touched)}
    first: dict[str, Candidate] = {}
    judged = []
    for one in found:
        company = rules.company_of(one)
        own = known.of_jid(one.jid)
        if own is not None and company_of(own.session) == company and not own.parked:
            judged.append(JudgedDevice(one, company, MoveVerdict.THERE))
            continue
        stops = [*one.stops, *_stops(one, company, known, rules), *_rivals(one, company, newest[one.jid], first)]
        verdict = MoveVerdict.REFUSED if stops else MoveVerdict.AGAIN if own is not None else MoveVerdict.TAKE
        remarks = "; ".join((*one.remarks, *_remarks(one, known.now)))
        judged.append(JudgedDevice(one, company if is_company(company) else "", verdict, "; ".join(stops), remarks))
    return judged


def _stops(one: Candidate, company: str, known: Known, rules: Rules) -> Iterator[str]:
    own, theirs = known.of_jid(one.jid), known.of_company(company)
    if not company:
        yield "the company map does not name it"
    elif not is_company(company):
        yield f"{one.label if company == one.name else company!r} can be no company's id: name it in a company map"
    if own is not None and company_of(own.session) != company:
        yield f"{company_of(own.session)} has this device already"
    elif own is not None and not rules.again:
        yield f"it is parked here ({own.parked}): stop the old service, then import with --again"
    if theirs is not None and theirs.jid != one.jid and not rules.replace:
        yield "the company has another device here: unlink that, or import with --replace"
    if company in known.running:
        yield "its owner is linking it just now"
    if one.touched and known.now - one.touched < QUIET_SECONDS:
        yield f"written {max(0, known.now - one.touched) / 60:.0f} min ago: the old service still runs it"


def _rivals(one: Candidate, company: str, newest: Candidate, first: dict[str, Candidate]) -> Iterator[str]:
    """Other entries for the same device, of which the `newest` counts, or the same company, which `first` remembers."""
    if one.jid and newest is not one:
        yield "another entry holds the same device, and was used later"
    elif company and one.jid and (other := first.setdefault(company, one)) is not one:
        yield f"{other.label} is for the same company"


def _remarks(one: Candidate, now: float) -> Iterator[str]:
    if one.jid and not one.touched:
        yield "when it was last used is not known: see that the old service is stopped"
    if one.touched and now - one.touched > OLD_SECONDS:
        yield f"not used for {(now - one.touched) / 86400:.0f} days: WhatsApp may have unlinked it"
