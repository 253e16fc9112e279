"""Devices of other clients, found where they lie and ready to be judged.

A source is only read. There are five kinds: a folder with sessions of Baileys below it (`creds.json` in each); a file of
Baileys' one-file form; a SQLite database of whatsmeow; a Postgres with whatsmeow's tables; a Redis whose hashes hold
Baileys' values (Evolution API).
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.state.pool import answer
from workers.moving import baileys
from workers.moving.baileys import BaileysSession, NotImportable
from workers.moving.files import jids_in, read_device_rows, read_rows, version_of
from workers.moving.identity import inspect, inspect_row
from workers.moving.rows import Rows, rows_of
from workers.moving.verdicts import Candidate, Level, MoveFinding

NewestSchema = Callable[[], Awaitable[int]]
"""Finds the version of whatsmeow's tables that the installed library knows, for which it starts the library: seconds."""
_REDIS, _POSTGRES = frozenset({"redis", "rediss"}), frozenset({"postgres", "postgresql"})
_SQLITE = b"SQLite format 3\0"


async def candidates(source: str, *, newest_schema: NewestSchema, keys: str = "") -> list[Candidate]:
    """Find every device of `source`, also those that cannot be taken over.

    `keys`: a second source, for an old service that keeps its other keys apart from the credentials: a folder or Redis of
    Evolution API, or a second database of whatsmeow. Raises NotImportable if the source is of no known kind.
    """
    scheme = urlsplit(source).scheme
    if scheme in _REDIS:
        return await _of_redis(source)
    if scheme in _POSTGRES:
        return await _of_postgres(source, newest_schema, keys)
    path = Path(source)
    if await asyncio.to_thread(_is_sqlite, path):
        _refuse_newer(await asyncio.to_thread(version_of, path), await newest_schema())
        return await asyncio.to_thread(_of_sqlite, path, await _key_rows(keys, await asyncio.to_thread(jids_in, path)))
    return await asyncio.to_thread(_of_files, path)


def _is_sqlite(path: Path) -> bool:
    if not path.exists():
        raise NotImportable(f"{path} is not there")
    if path.is_dir():
        return False
    with path.open("rb") as file:
        return file.read(len(_SQLITE)) == _SQLITE


def _of_files(path: Path) -> list[Candidate]:
    if path.is_dir():
        return [_read(folder.name, partial(baileys.read_folder, folder)) for folder in baileys.find_folders(path)]
    text = path.read_text(encoding="utf-8", errors="replace")
    return [_read(path.stem, partial(baileys.read_single, path.stem, text), touched=path.stat().st_mtime)]


def _of_sqlite(path: Path, more: Mapping[str, Rows]) -> list[Candidate]:
    touched = max(one.stat().st_mtime for one in path.parent.glob(f"{path.name}*"))
    return [_of_rows(jid, read_device_rows(path, jid) | more.get(jid, {}), touched) for jid in jids_in(path)]


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


def _of_rows(jid: str, found: Rows, touched: float) -> Candidate:
    device, findings = inspect_row(jid, found["device"][0])
    if not found.get("pre_keys"):
        text = "no prekeys here: if the old service keeps keys in a second database, name it with --keys"
        findings = [*findings, MoveFinding(Level.WARN, text)]
    counts = Counter({table: len(some) for table, some in found.items() if table not in {"device", "lid_map"}})
    linked_at = device.linked_at * 1000 if device is not None else 0
    return Candidate(jid.partition("@")[0], jid, findings, counts, touched, linked_at, lambda: found)


def _refuse_newer(version: int | None, newest: int) -> None:
    if version is None:
        raise NotImportable("this is no database of whatsmeow or of Evolution API")
    if version > newest:
        raise NotImportable(
            f"its tables are of version {version}, newer than ours ({newest}): upgrade this service first"
        )


async def _key_rows(keys: str, jids: Iterable[str]) -> dict[str, Rows]:
    """Rows of each device in a second database of whatsmeow, without the device itself."""
    if not keys:
        return {}
    found = {}
    for jid in jids:
        if urlsplit(keys).scheme in _POSTGRES:
            from workers.moving.postgres import read_keys

            rows = await read_keys(keys, jid)
        else:
            rows = await asyncio.to_thread(read_rows, Path(keys), jid)
        found[jid] = {table: some for table, some in rows.items() if table not in {"device", "lid_map"}}
    return found


async def _of_redis(source: str) -> list[Candidate]:
    """Read `redis://host/0?hash=PREFIX:instance:*`: each hash is a session, and its field `creds` the credentials."""
    hashes = await _hashes(source)
    return [
        _read(name, partial(baileys.read_pairs, name, values.get("creds"), values.items()))
        for name, values in sorted(hashes.items())
    ]


async def _hashes(source: str) -> dict[str, dict[str, object]]:
    """The hashes of a Redis by the last part of their names."""
    parts = urlsplit(source)
    pattern = parse_qs(parts.query).get("hash", [""])[0]
    if not pattern:
        raise NotImportable("say which hashes hold sessions, as in redis://host/0?hash=evolution:instance:*")
    try:
        redis = Redis.from_url(parts._replace(query="").geturl())
    except ValueError:
        raise NotImportable("the source's address is none of a Redis") from None
    found: dict[str, dict[str, object]] = {}
    try:
        async for key in redis.scan_iter(match=pattern, count=500, _type="hash"):
            values = {name.decode(): value for name, value in (await answer(redis.hgetall(key))).items()}
            found[key.decode(errors="replace").rpartition(":")[2]] = values
    except (RedisError, OSError, ValueError) as error:
        raise NotImportable(f"the source's Redis cannot be read ({type(error).__name__})") from None
    finally:
        await redis.aclose()
    return found


async def _of_postgres(source: str, newest_schema: NewestSchema, keys: str) -> list[Candidate]:
    # Imported only where there is a Postgres: the driver takes 5 MB.
    from workers.moving.postgres import read_all
    from workers.store.device import StoreAway, StoreRefused

    try:
        there = await read_all(source)
        if there.version is None and there.sessions:
            return await _of_evolution(there.sessions, keys)
        more = await _key_rows(keys, there.devices)
    except (StoreAway, StoreRefused) as error:
        raise NotImportable(f"the source {error}") from None
    _refuse_newer(there.version, await newest_schema())
    return [_of_rows(jid, {**rows, **more.get(jid, {})}, 0.0) for jid, rows in there.devices.items()]


async def _of_evolution(sessions: Mapping[str, str], keys: str) -> list[Candidate]:
    """Read sessions of Evolution API: `creds` from its table, other keys from the hash or the folder of the instance."""
    hashes = await _hashes(keys) if urlsplit(keys).scheme in _REDIS else {}
    found = []
    for name, creds in sessions.items():
        folder = Path(keys) / name
        files = {} if not keys or hashes else await asyncio.to_thread(baileys.read_files, folder)
        pairs = hashes.get(name, files)
        found.append(_read(name, partial(baileys.read_pairs, name, creds, pairs.items())))
    return found
