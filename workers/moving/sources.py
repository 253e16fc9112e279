"""Devices of other clients, found where they lie and ready to be judged.

A source is only read. There are five kinds: a folder with sessions of Baileys below it (`creds.json` in each); a file of
Baileys' one-file form; a SQLite database of whatsmeow; a Postgres with whatsmeow's tables; a Redis whose hashes hold
Baileys' values (Evolution API).
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.state.pool import answer
from workers.moving.baileys import (
    CREDS,
    BaileysSession,
    NotImportable,
    read_files,
    read_folder,
    read_pairs,
    read_single,
    refusing,
)
from workers.moving.files import read_database
from workers.moving.identity import faults, read_device, read_row, remarks
from workers.moving.rows import ForeignDatabase, Rows, rows_of
from workers.moving.verdicts import Candidate
from workers.store.device import StoreAway, StoreRefused

NewestSchema = Callable[[], Awaitable[int]]
"""Finds the version of whatsmeow's tables that the installed library knows, for which it starts the library: seconds."""
_REDIS, _POSTGRES = frozenset({"redis", "rediss"}), frozenset({"postgres", "postgresql"})
_SQLITE = b"SQLite format 3\0"
_SHARED = frozenset({"device", "lid_map"})
"""Tables of which a second database adds nothing to a device."""


async def candidates(source: str, *, newest_schema: NewestSchema, keys: str = "") -> list[Candidate]:
    """Find every device of `source`, also those that cannot be taken over.

    `keys`: a second source, for an old service that keeps its other keys apart from the credentials: a folder or Redis of
    Evolution API, or a second database of whatsmeow. Raises NotImportable if the source is of no known kind.
    """
    if urlsplit(source).scheme in _REDIS:
        hashes = await _hashes(source)
        return [
            _read(name, partial(read_pairs, name, some.get("creds"), some)) for name, some in sorted(hashes.items())
        ]
    path = Path(source)
    if not _is_postgres(source) and not await asyncio.to_thread(_is_sqlite, path):
        return await asyncio.to_thread(_of_files, path)
    database = await _database(source)
    if database.version is None and database.sessions:
        return await _of_evolution(database.sessions, keys)
    if database.version is None:
        raise NotImportable("this is no database of whatsmeow or of Evolution API")
    if database.version > (newest := await newest_schema()):
        raise NotImportable(
            f"its tables are of version {database.version}, newer than ours ({newest}): upgrade this service first"
        )
    more = (await _database(keys)).devices if keys else {}
    touched = 0.0 if _is_postgres(source) else max(one.stat().st_mtime for one in path.parent.glob(f"{path.name}*"))
    return [
        _of_rows(
            jid, rows | {table: some for table, some in more.get(jid, {}).items() if table not in _SHARED}, touched
        )
        for jid, rows in database.devices.items()
        if "device" in rows
    ]


def _is_postgres(source: str) -> bool:
    return urlsplit(source).scheme in _POSTGRES


def _is_sqlite(path: Path) -> bool:
    if not path.exists():
        raise NotImportable(f"{path} is not there")
    if path.is_dir():
        return False
    with path.open("rb") as file:
        return file.read(len(_SQLITE)) == _SQLITE


async def _database(source: str) -> ForeignDatabase:
    if not _is_postgres(source):
        return await asyncio.to_thread(read_database, Path(source))
    # Imported only where there is a Postgres: the driver takes 5 MB.
    from workers.moving.postgres import read_all

    try:
        return await read_all(source)
    except (StoreAway, StoreRefused) as error:
        raise NotImportable(f"the source {error}") from None


def _of_files(path: Path) -> list[Candidate]:
    if path.is_dir():
        with refusing("a folder below it cannot be read ({error})", OSError):
            folders = sorted({file.parent for file in path.rglob(CREDS)})
        return [_read(folder.name, partial(read_folder, folder)) for folder in folders]
    text = path.read_text(encoding="utf-8", errors="replace")
    return [_read(path.stem, partial(read_single, path.stem, text), touched=path.stat().st_mtime)]


def _read(name: str, read: Callable[[], BaileysSession], *, touched: float = 0.0) -> Candidate:
    try:
        session = read()
        touched = session.touched or touched
        device = read_device(session.creds)
    except NotImportable as error:
        return Candidate(name, stops=[str(error)], touched=touched)
    except OSError as error:
        return Candidate(name, stops=[f"it cannot be read ({type(error).__name__})"])
    rows, counts = rows_of(session, device)
    told = list(remarks(session, device))
    return Candidate(name, device.jid, faults(device), told, counts, touched, device.linked_at * 1000, rows)


def _of_rows(jid: str, found: Rows, touched: float) -> Candidate:
    try:
        device = read_row(jid, found["device"][0])
        stops, linked_at = faults(device), device.linked_at * 1000
    except NotImportable as error:
        stops, linked_at = [str(error)], 0
    told = []
    if not found.get("pre_keys"):
        told.append("no prekeys here: if the old service keeps keys in a second database, name it with --keys")
    counts = Counter({table: len(some) for table, some in found.items() if table not in _SHARED})
    return Candidate(jid.partition("@")[0], jid, stops, told, counts, touched, linked_at, found)


async def _hashes(source: str) -> dict[str, dict[str, object]]:
    """The hashes of a Redis by the last part of their names: each of `redis://host/0?hash=PREFIX:instance:*` is a session.

    Its field `creds` has the credentials."""
    parts = urlsplit(source)
    pattern = parse_qs(parts.query).get("hash", [""])[0]
    if not pattern:
        raise NotImportable("say which hashes hold sessions, as in redis://host/0?hash=evolution:instance:*")
    with refusing("the source's address is none of a Redis", ValueError):
        redis = Redis.from_url(parts._replace(query="").geturl())
    found: dict[str, dict[str, object]] = {}
    with refusing("the source's Redis cannot be read ({error})", RedisError, OSError, ValueError):
        async with redis:
            async for key in redis.scan_iter(match=pattern, count=500, _type="hash"):
                values = {name.decode(): value for name, value in (await answer(redis.hgetall(key))).items()}
                found[key.decode(errors="replace").rpartition(":")[2]] = values
    return found


async def _of_evolution(sessions: Mapping[str, str], keys: str) -> list[Candidate]:
    """Read sessions of Evolution API: `creds` from its table, other keys from the hash or the folder of the instance."""
    hashes = await _hashes(keys) if urlsplit(keys).scheme in _REDIS else {}
    found = []
    for name, creds in sessions.items():
        files = {} if not keys or hashes else await asyncio.to_thread(read_files, Path(keys) / name)
        found.append(_read(name, partial(read_pairs, name, creds, hashes.get(name, files))))
    return found
