"""`onboarding import` and `onboarding export`: judge, ask, act and tell, over the service's Redis and device store."""

import argparse
import asyncio
import csv
import json
import os
import re
import secrets
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from arq.connections import ArqRedis
from rich.console import Console
from rich.table import Table
from rich.text import Text

from shared import settings
from shared.core.clock import now_ms
from shared.core.ids import COMPANY_PATTERN, CompanyId, WorkerId, company_id, company_of, session_of
from shared.core.lifecycle import RUNNING
from shared.jobs.queue import client
from shared.settings import Settings
from shared.state import pool as redis_pool
from shared.state.lease import Leases
from shared.state.snapshots import Snapshots
from workers.engine.devices import is_postgres
from workers.moving.back import write_folder
from workers.moving.baileys import NotImportable
from workers.moving.files import Template, read_device_rows, version_of
from workers.moving.rows import Rows
from workers.moving.sources import Candidate, candidates
from workers.moving.take import MoveOutcome, Taken, TakeOver
from workers.moving.verdicts import JudgedDevice, Known, MoveVerdict, Registered, Rules, judge
from workers.store.device import DeviceStore, Fence, StoredDevice
from workers.store.open import opened

ALL, SOME, NONE = 0, 1, 2
_SHOWN = {
    MoveVerdict.TAKE: "can be taken over",
    MoveVerdict.AGAIN: "can be tried again",
    MoveVerdict.THERE: "there already",
    MoveVerdict.REFUSED: "REFUSED",
}
EXPORTED = "exported"
"""Why a device is parked that was handed back: its keys live elsewhere now."""


@dataclass(frozen=True, slots=True)
class Service:
    """Tools of the commands."""

    redis: ArqRedis
    store: DeviceStore
    me: WorkerId
    config: Settings


@asynccontextmanager
async def open_service() -> AsyncIterator[Service]:
    """The service of this environment. Raises StoreRefused; waits while the store is away."""
    config = settings.read()
    me = WorkerId(f"moving-{os.getpid()}-{secrets.token_hex(3)}")
    redis = client(redis_pool.pool(config))
    try:
        async with opened(config, me, asyncio.Event()) as store:
            if store is not None:  # None only if it was stopped while it waited
                yield Service(redis, store, me, config)
    finally:
        await redis.aclose(close_connection_pool=True)


async def take_over(asked: argparse.Namespace) -> int:
    """`import`. The exit code. Raises NotImportable, StoreAway and StoreRefused."""
    rules = Rules(_read_map(asked.company_map), asked.replace, asked.again)
    out = _Out(as_json=asked.json)
    async with open_service() as service:
        with tempfile.TemporaryDirectory(prefix="moving-") as folder:
            template = Template(Path(folder))
            await template.make()
            found = await candidates(asked.source, newest_schema=version_of(template.file) or 0)
            if asked.only:
                found = [one for one in found if one.name in asked.only]
            if not found:
                raise NotImportable("no linked device was found there")
            judged = judge(found, await _known(service, found, rules), rules)
            out.judged(judged, dry=asked.dry_run)
            wanted = [one for one in judged if one.verdict in {MoveVerdict.TAKE, MoveVerdict.AGAIN}]
            if asked.dry_run or not wanted:
                return _code(len(wanted) + _there(judged), len(judged))
            if not asked.yes_stopped and not _ask(len(wanted)):
                return NONE
            over = TakeOver(service.redis, service.store, service.me, template.file, asked.by)
            taken = await over.run(wanted, asked.batch, out.taken)
    out.finish(taken, wanted)
    held = sum(one.outcome is MoveOutcome.HELD for one in taken)
    return _code(held + _there(judged), len(judged))


async def hand_back(asked: argparse.Namespace) -> int:
    """`export`. The exit code. Raises NotImportable, StoreAway and StoreRefused."""
    session = session_of(_company(asked.company))
    async with open_service() as service:
        device = await service.store.device(session)
        if device is None:
            raise NotImportable(f"{asked.company} has no device here")
        leases = Leases(service.redis)
        await leases.beat(service.me, 1)
        lease = await leases.acquire(session, service.me)
        if lease is None:
            raise NotImportable("a worker holds this session: stop the workers first (onboarding drain)")
        try:
            rows = await _rows(service, device)
            counts = await asyncio.to_thread(write_folder, rows, asked.folder, now_ms())
            # From now on another client acts as this device, so no worker may.
            await service.store.note(replace(device, parked=EXPORTED, again_at=0), Fence(lease.token))
        except FileExistsError:
            raise NotImportable(f"{asked.folder} is there already: name a new folder") from None
        finally:
            await leases.release(lease)
    say(f"Wrote {asked.folder}: {_counted(counts)}. The device is parked here; nothing was told to WhatsApp.")
    return ALL


async def _rows(service: Service, device: StoredDevice) -> Rows:
    if not is_postgres(device.database):
        return await asyncio.to_thread(read_device_rows, Path(device.database), device.jid)
    from workers.moving.postgres import read_one

    url = service.config.database_url
    return await read_one(url.get_secret_value() if url else "", device.jid)


async def _known(service: Service, found: list[Candidate], rules: Rules) -> Known:
    devices = await service.store.registered()
    registered = [Registered(company_of(one.session), one.jid, one.parked) for one in devices]
    snapshots = Snapshots(service.redis)
    running = set()
    for company in {rules.company_of(one) for one in found}:
        if _is_company(company) and (await snapshots.read(session_of(CompanyId(company)))).body.state in RUNNING:
            running.add(company)
    return Known(registered, frozenset(running), time.time(), _is_company)


def _read_map(path: Path | None) -> dict[str, str] | None:
    if path is None:
        return None
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [row for row in csv.reader(file) if row and not row[0].startswith("#")]
    except (OSError, UnicodeDecodeError) as error:
        raise NotImportable(f"the company map cannot be read ({type(error).__name__})") from None
    if wrong := next((row for row in rows if len(row) != 2), None):
        raise NotImportable(f"the company map must have two columns, theirs and company: {','.join(wrong)}")
    return {theirs.strip(): company.strip() for theirs, company in rows}


def _is_company(text: str) -> bool:
    return re.fullmatch(COMPANY_PATTERN, text) is not None


def _company(text: str) -> CompanyId:
    if not _is_company(text):
        raise NotImportable(f"{text!r} can be no company's id")
    return company_id(text)


def _ask(count: int) -> bool:
    if not sys.stdin.isatty():
        say("Nothing was written: say --yes-stopped when the old service is stopped and will stay so.")
        return False
    sys.stdout.write(f"Is the old service of these {count} stopped, and will it stay so? [y/N] ")
    sys.stdout.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def _there(judged: list[JudgedDevice]) -> int:
    return sum(one.verdict is MoveVerdict.THERE for one in judged)


def _code(good: int, of: int) -> int:
    return ALL if good == of else SOME if good else NONE


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)


def say(text: str) -> None:
    """A line for whoever asked."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


class _Out:
    """Tells people in tables and programs in lines of JSON. Numbers are masked in both."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)

    def judged(self, judged: list[JudgedDevice], *, dry: bool) -> None:
        """Every device and its verdict."""
        if self._as_json:
            for one in judged:
                say(json.dumps(_data(one)))
            return
        grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for head in ("name", "phone", "device", "company", "verdict", "carries, remarks"):
            grid.add_column(head, header_style="dim")
        for one in judged:
            data = _data(one)
            verdict = f"{_SHOWN[one.verdict]}{f': {one.why}' if one.why else ''}"
            more = "; ".join(filter(None, (str(data["carries"]), one.remarks)))
            grid.add_row(*(Text(str(data[name])) for name in ("name", "phone", "device", "company")), verdict, more)
        self._console.print(grid)
        wanted = sum(one.verdict in {MoveVerdict.TAKE, MoveVerdict.AGAIN} for one in judged)
        say(f"{wanted} of {len(judged)} can be taken over.{' Nothing was written.' if dry else ''}")

    def taken(self, one: Taken) -> None:
        """One device's outcome, as soon as it is known."""
        name, outcome = one.judged.found.name, one.outcome.value
        if self._as_json:
            say(json.dumps({"name": name, "company": one.judged.company, "outcome": outcome, "why": one.why}))
        else:
            say(f"{name} -> {one.judged.company}: {outcome}. {one.why[:1].upper()}{one.why[1:]}.")

    def finish(self, taken: list[Taken], wanted: list[JudgedDevice]) -> None:
        """Print the number of devices, and if the rest was left alone."""
        if self._as_json:
            return
        counts = Counter(one.outcome.value for one in taken)
        say(f"{len(taken)} of {len(wanted)}: {_counted(counts)}.")
        if len(taken) < len(wanted):
            say("Stopped early: several in a row did not stay. Find out why, then say the command again.")


def _data(one: JudgedDevice) -> dict[str, object]:
    found = one.found
    assert isinstance(found, Candidate)  # noqa: S101 - the judge was given candidates
    return {
        "name": found.name,
        "phone": found.number,
        "device": found.jid.partition("@")[0].rpartition(":")[2],
        "company": one.company,
        "verdict": one.verdict.value,
        "why": one.why,
        "remarks": one.remarks,
        "carries": _counted(found.counts),
        "linkedAt": found.linked_at or None,
    }
