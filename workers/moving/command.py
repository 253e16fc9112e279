"""`onboarding import` and `onboarding export`: judge, ask, act and tell, over the service's Redis and device store."""

import argparse
import asyncio
import csv
import json
import sys
import time
from pathlib import Path

from shared.core.clock import now_ms
from shared.core.datum import replace
from shared.core.ids import CompanyId, company_id, session_of
from shared.core.lifecycle import RUNNING, State
from shared.core.protocol import Body, MessageType
from shared.state.audit import record
from shared.state.snapshots import Change, Snapshots
from workers.moving.back import write_folder
from workers.moving.baileys import NotImportable, refusing
from workers.moving.screen import MoveScreen, counted, say
from workers.moving.service import Service, open_service
from workers.moving.sources import candidates
from workers.moving.take import EXPORTED_EVENT, TakeOver
from workers.moving.verdicts import Candidate, JudgedDevice, Known, MoveVerdict, Rules, is_company, judge
from workers.moving.watch import MoveOutcome
from workers.store.device import EXPORTED, Fence

ALL, SOME, NONE = 0, 1, 2


async def take_over(asked: argparse.Namespace) -> int:
    """Run `import`, and return the exit code. Raises NotImportable, StoreAway and StoreRefused."""
    rules = Rules(_read_map(asked.company_map), asked.replace, asked.again)
    out = MoveScreen(as_json=asked.json)
    async with open_service() as service:
        found = await candidates(asked.source, newest_schema=service.template.version, keys=asked.keys)
        if asked.only:
            found = [one for one in found if {one.name, one.jid, rules.company_of(one)} & set(asked.only)]
        if not found:
            raise NotImportable("no linked device was found there")
        judged = judge(found, await _known(service, found, rules), rules)
        out.judged(judged, dry=asked.dry_run)
        wanted = [one for one in judged if one.verdict in {MoveVerdict.TAKE, MoveVerdict.AGAIN}]
        left = wanted[asked.most :] if asked.most else []
        wanted = wanted[: len(wanted) - len(left)]
        if asked.dry_run or not wanted:
            return exit_code(len(wanted) + len(left) + _there(judged), len(judged))
        if not asked.yes_stopped and not _ask(len(wanted)):
            return NONE

        async def judged_now(one: JudgedDevice) -> JudgedDevice:
            return judge([one.found], await _known(service, [one.found], rules), rules)[0]

        await service.template.version()  # nothing is begun without it
        over = TakeOver(service, asked.by, judged_now)
        taken = await over.run(wanted, asked.batch, asked.stay, lambda one: out.taken(one, len(wanted)))
    out.finish(taken, wanted, left)
    held = sum(one.outcome is MoveOutcome.HELD for one in taken)
    return exit_code(held + _there(judged), len(judged))


async def hand_back(asked: argparse.Namespace) -> int:
    """Run `export`, and return the exit code. Raises NotImportable, StoreAway and StoreRefused."""
    session = session_of(_company(asked.company))
    async with open_service() as service, service.reader() as read:
        device = await service.store.device(session)
        if device is None:
            raise NotImportable(f"{asked.company} has no device here")
        async with service.alive() as leases:
            lease = await leases.acquire(session, service.me)
            if lease is None:
                raise NotImportable("a worker holds this session: stop the workers first (onboarding drain)")
            try:
                if not (rows := await read(device)):
                    raise NotImportable("the store does not hold the keys of this device")
                counts = await asyncio.to_thread(write_folder, rows, asked.folder, now_ms())
                # From now on another client acts as this device, so no worker may.
                await service.store.note(replace(device, parked=EXPORTED, again_at=0), Fence(lease.token))
                body = Body(state=State.UNLINKED)
                change = Change(body, MessageType.STATUS, EXPORTED_EVENT, ending=True)
                await Snapshots(service.redis).save(lease, change)
                await record(service.redis, EXPORTED_EVENT, session, asked.by, session=session)
            except FileExistsError:
                raise NotImportable(f"{asked.folder} is there already: name a new folder") from None
            finally:
                await leases.release(lease)
    if asked.json:
        say(json.dumps({"company": asked.company, "folder": str(asked.folder), "carries": dict(counts)}))
    else:
        say(f"Wrote {asked.folder}: {counted(counts)}. The device is parked here; nothing was told to WhatsApp.")
    return ALL


async def _known(service: Service, found: list[Candidate], rules: Rules) -> Known:
    snapshots = Snapshots(service.redis)
    running = set()
    for company in {rules.company_of(one) for one in found}:
        if is_company(company) and (await snapshots.read(session_of(CompanyId(company)))).body.state in RUNNING:
            running.add(company)
    return Known(await service.store.registered(), frozenset(running), time.time())


def _read_map(path: Path | None) -> dict[str, str] | None:
    if path is None:
        return None
    reading = refusing("the company map cannot be read ({error})", OSError, UnicodeDecodeError)
    with reading, path.open(encoding="utf-8-sig", newline="") as file:
        rows = [row for row in csv.reader(file) if row and not row[0].startswith("#")]
    if wrong := next((row for row in rows if len(row) != 2), None):
        raise NotImportable(f"the company map must have two columns, theirs and company: {','.join(wrong)}")
    return {theirs.strip(): company.strip() for theirs, company in rows}


def _company(text: str) -> CompanyId:
    if not is_company(text):
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


def exit_code(good: int, of: int) -> int:
    """The exit code of a command that did well with `good` devices out of `of`."""
    return ALL if good == of else SOME if good else NONE
