"""`onboarding backup` writes every device and its registry row into one encrypted file, while everything runs.
`onboarding restore` puts them back into a store that has lost them."""

import argparse
import asyncio
import importlib.metadata
import json
from enum import StrEnum
from pathlib import Path

from shared.core import keys
from shared.core.clock import now_ms
from shared.core.events import EventType
from shared.core.ids import CompanyId, SessionId, company_of, session_of, sort_sessions
from shared.state.audit import record
from shared.state.lease import Leases
from shared.state.receivers import Receivers
from workers.engine.devices import device_in
from workers.moving.archive import VERSION, BackupKey, BackupList, KeptDevice, add_device, add_list, unpack, writing
from workers.moving.baileys import NotImportable
from workers.moving.command import ALL, exit_code
from workers.moving.files import read_device_rows
from workers.moving.screen import say
from workers.moving.service import Service, open_service
from workers.store.device import DeviceTaken, StoredDevice, StoreFenced

STALE_MS = keys.DAY
"""A device whose keys are older is better linked anew."""


class RestoreVerdict(StrEnum):
    RESTORED = "restored"
    COULD_BE = "can be restored"
    THERE = "there already, and left as it is"
    HELD = "REFUSED: a worker holds this session, from another store"
    TAKEN = "REFUSED: this device is linked to another company here"
    BROKEN = "REFUSED: its file is not the device that the list names"
    FENCED = "REFUSED: somebody else took the session up meanwhile"


_REFUSED: dict[type[Exception], RestoreVerdict] = {
    StoreFenced: RestoreVerdict.FENCED,
    DeviceTaken: RestoreVerdict.TAKEN,
    NotImportable: RestoreVerdict.BROKEN,
}
_GOOD = frozenset({RestoreVerdict.RESTORED, RestoreVerdict.COULD_BE, RestoreVerdict.THERE})


async def back_up(asked: argparse.Namespace) -> int:
    """Run `backup`, and return the exit code. Raises NotImportable, StoreAway and StoreRefused."""
    async with open_service() as service, service.reader() as read:
        key = _key_of(service)
        try:
            with writing(asked.file, key) as archive:
                file = service.template.folder / "device.sqlite3"
                kept: list[KeptDevice] = []
                for device in await service.store.registered():
                    if rows := await read(device):
                        company = company_of(device.session)
                        await service.template.write(rows, file)
                        await asyncio.to_thread(add_device, archive, company, file)
                        row = (device.jid, device.linked_at, device.parked, device.again_at, int(device.told))
                        kept.append(KeptDevice(company, *row))
                store = "postgres" if service.database_url else "files"
                library = importlib.metadata.version("neonize")
                receivers = await _receivers(service)
                add_list(archive, BackupList(VERSION, now_ms(), store, library, kept, receivers))
        except FileExistsError:
            raise NotImportable(f"{asked.file} is there already: name a new file") from None
        await record(service.redis, "store.backed-up", "devices", asked.by, detail=f"{len(kept)} devices")
    size = asked.file.stat().st_size / 2**20
    say(
        f"Wrote {asked.file}: {len(kept)} devices, {size:.1f} MB. Who has it and the secret half of BACKUP_KEY has the accounts."
    )
    return ALL


async def restore(asked: argparse.Namespace) -> int:
    """Run `restore`, and return the exit code. Raises NotImportable, StoreAway and StoreRefused."""
    async with open_service() as service:
        key = _key_of(service)
        told, files = await asyncio.to_thread(unpack, asked.file, key, service.template.folder)
        age = max(0, now_ms() - told.made_at)
        say(f"The keys are {_span(age)} old: {len(told.devices)} devices, from {told.store}, neonize {told.library}.")
        if age > STALE_MS and not asked.stale:
            raise NotImportable(
                "Keys older than a day lose messages, and may be refused: better link anew. --stale restores them all the same "
                "(docs/deploy.md, What a stale restore breaks)"
            )
        await service.template.version()  # nothing is begun without it
        async with service.alive() as leases:
            results = {
                one.company: await _restore_one(service, leases, one, files.get(one.company), dry=asked.dry_run)
                for one in told.devices
                if not asked.only or one.company in asked.only
            }
        if not asked.dry_run:
            await _restore_receivers(service, told, results)
            await record(service.redis, "store.restored", "devices", asked.by, detail=f"{len(results)} devices")
    for company, verdict in results.items():
        as_json = {"company": company, "verdict": verdict.name.lower()}
        say(json.dumps(as_json) if asked.json else f"{company}: {verdict.value}")
    return exit_code(sum(verdict in _GOOD for verdict in results.values()), len(results))


def _key_of(service: Service) -> BackupKey:
    if service.config.backup_key is None:
        raise NotImportable("BACKUP_KEY is missing: make one with `onboarding key backup`")
    return BackupKey.read(service.config.backup_key.get_secret_value().strip())


async def _receivers(service: Service) -> dict[str, dict[str, str]]:
    found = {}
    receivers, prefix = Receivers(service.config, service.redis), keys.receiver(SessionId("")).encode()
    names = {name.rpartition(prefix)[2] async for name in service.redis.scan_iter(match=prefix + b"*", count=500)}
    for company in map(company_of, sort_sessions(names)[0]):
        own = await receivers.own(company)
        if own is not None:
            found[str(company)] = {"url": own.url, "secret": own.secret, "events": " ".join(sorted(own.events))}
    return found


async def _restore_receivers(service: Service, told: BackupList, results: dict[str, RestoreVerdict]) -> None:
    """Give the restored companies their receivers back, unless they have one now."""
    receivers = Receivers(service.config, service.redis)
    known = {one.value for one in EventType}
    for company in (one for one, verdict in results.items() if verdict is RestoreVerdict.RESTORED):
        kept = told.receivers.get(company)
        if kept and await receivers.own(CompanyId(company)) is None:
            events = frozenset(EventType(one) for one in kept.get("events", "").split() if one in known)
            await receivers.put(CompanyId(company), kept["url"], kept["secret"], events)


async def _restore_one(
    service: Service, leases: Leases, kept: KeptDevice, file: Path | None, *, dry: bool
) -> RestoreVerdict:
    """Put one device back, unless it would fight with a device that lives."""
    session, store = session_of(CompanyId(kept.company)), service.store
    if await store.device(session) is not None:
        return RestoreVerdict.THERE
    if any(one.jid == kept.jid for one in await store.registered()):
        return RestoreVerdict.TAKEN
    if file is None or not await asyncio.to_thread(device_in, str(file), kept.jid):
        return RestoreVerdict.BROKEN
    if dry:
        return RestoreVerdict.COULD_BE if await leases.owner(session) is None else RestoreVerdict.HELD
    lease = await leases.acquire(session, service.me)
    if lease is None:
        return RestoreVerdict.HELD
    try:
        if await store.device(session) is not None:  # linked meanwhile
            return RestoreVerdict.THERE
        rows = await asyncio.to_thread(read_device_rows, file, kept.jid)
        device = StoredDevice(session, kept.jid, kept.linked_at, "", kept.parked, 0, kept.again_at, kept.told)
        await service.put(lease, device, rows)
    except tuple(_REFUSED) as error:
        return _REFUSED[type(error)]
    finally:
        await leases.release(lease)
    if not kept.parked:
        await service.offer(session)
    return RestoreVerdict.RESTORED


def _span(ms: int) -> str:
    days, hours, minutes = ms // keys.DAY, ms % keys.DAY // keys.HOUR, ms % keys.HOUR // keys.MINUTE
    return f"{days} d {hours} h" if days else f"{hours} h {minutes} min"
