"""Devices of other clients, found where they lie and ready to be judged.

A source is a folder below which sessions of Baileys lie (`creds.json` in each), a file of Baileys' one-file form, a SQLite
database of whatsmeow, a Postgres with whatsmeow's tables, or a Redis whose hashes hold Baileys' values (Evolution API). It is
only read.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from redis.asyncio import Redis

from shared.core import phone
from shared.state.pool import answer
from workers.moving import baileys
from workers.moving.baileys import BaileysSession, NotImportable
from workers.moving.files import jids_in, read_device_rows, version_of
from workers.moving.identity import ForeignDevice, inspect, inspect_row
from workers.moving.rows import Row, Rows, rows_of
from workers.moving.verdicts import Level, MoveFinding

_SQLITE = b"SQLite format 3\0"


@dataclass(slots=True)
class Candidate:
    """One device of a source.

    `rows` makes its rows when they are wanted; `counts` says what they carry. `touched` is when the old client last wrote
    (seconds since the epoch; 0: unknown), `linked_at` when the phone agreed (ms; 0: unknown).
    """

    name: str
    jid: str = ""
    findings: list[MoveFinding] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    touched: float = 0.0
    linked_at: int = 0
    rows: Callable[[], Rows] = dict

    @property
    def number(self) -> str:
        """The phone, masked."""
        return phone.masked(phone.of_jid(self.jid)) if self.jid else "-"


async def candidates(source: str, *, newest_schema: int) -> list[Candidate]:
    """Every device of `source`, also those that cannot be taken over. `newest_schema` is the version of whatsmeow's tables
    that the installed library knows. Raises NotImportable if the source is none of those that can be read."""
    scheme = urlsplit(source).scheme
    if scheme in {"redis", "rediss"}:
        return await _of_redis(source)
    if scheme in {"postgres", "postgresql"}:
        return await _of_postgres(source, newest_schema)
    return await asyncio.to_thread(_of_path, Path(source), newest_schema)


def _of_path(path: Path, newest_schema: int) -> list[Candidate]:
    if not path.exists():
        raise NotImportable(f"{path} is not there")
    if path.is_dir():
        return [_read(folder.name, partial(baileys.read_folder, folder)) for folder in baileys.find_folders(path)]
    with path.open("rb") as file:
        head = file.read(len(_SQLITE))
    if head != _SQLITE:
        text = path.read_text(encoding="utf-8", errors="replace")
        return [_read(path.stem, partial(baileys.read_single, path.stem, text), touched=path.stat().st_mtime)]
    _refuse_newer(version_of(path), newest_schema)
    touched = max(one.stat().st_mtime for one in path.parent.glob(f"{path.name}*"))
    found = []
    for jid in jids_in(path):
        rows = read_device_rows(path, jid)
        found.append(_of_rows(jid, rows["device"][0], partial(read_device_rows, path, jid), rows, touched))
    return found


def _read(name: str, read: Callable[[], BaileysSession], *, touched: float = 0.0) -> Candidate:
    try:
        session = read()
    except (NotImportable, OSError) as error:
        why = str(error) if isinstance(error, NotImportable) else f"it cannot be read ({type(error).__name__})"
        return Candidate(name, findings=[MoveFinding(Level.STOP, why)])
    device, findings = inspect(session)
    if device is None:
        return Candidate(name, findings=findings, touched=session.touched or touched)
    rows, counts = rows_of(session, device)
    return Candidate(
        name, device.jid, findings, counts, session.touched or touched, device.linked_at * 1000, lambda: rows
    )


def _of_rows(jid: str, row: Row, rows: Callable[[], Rows], found: Rows, touched: float) -> Candidate:
    device, findings = inspect_row(jid, row)
    counts = Counter({table: len(some) for table, some in found.items() if table not in {"device", "lid_map"}})
    linked_at = device.linked_at * 1000 if isinstance(device, ForeignDevice) else 0
    return Candidate(jid.partition("@")[0], jid, findings, counts, touched, linked_at, rows)


def _refuse_newer(version: int | None, newest: int) -> None:
    if version is None:
        raise NotImportable("this is no database of whatsmeow")
    if version > newest:
        raise NotImportable(
            f"its tables are of version {version}, newer than ours ({newest}): upgrade this service first"
        )


async def _of_redis(source: str) -> list[Candidate]:
    """`redis://host/0?hash=PREFIX:instance:*`: each hash that matches is a session, its field `creds` the credentials."""
    parts = urlsplit(source)
    pattern = parse_qs(parts.query).get("hash", [""])[0]
    if not pattern:
        raise NotImportable("say which hashes hold sessions, as in redis://host/0?hash=evolution:instance:*")
    redis = Redis.from_url(parts._replace(query="").geturl())
    found = []
    try:
        async for key in redis.scan_iter(match=pattern, count=500, _type="hash"):
            values = {name.decode(): value for name, value in (await answer(redis.hgetall(key))).items()}
            name = key.decode(errors="replace").rpartition(":")[2]
            found.append(_read(name, partial(baileys.read_pairs, name, values.get("creds"), values.items())))
    finally:
        await redis.aclose()
    return sorted(found, key=lambda one: one.name)


async def _of_postgres(source: str, newest_schema: int) -> list[Candidate]:
    # Imported only where there is a Postgres: the driver takes 5 MB.
    from workers.moving.postgres import read_all
    from workers.store.device import StoreAway, StoreRefused

    try:
        version, devices = await read_all(source)
    except (StoreAway, StoreRefused) as error:
        raise NotImportable(f"the source {error}") from None
    _refuse_newer(version, newest_schema)
    return [_of_rows(jid, rows["device"][0], partial(dict, rows), rows, 0.0) for jid, rows in devices.items()]
