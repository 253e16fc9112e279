"""Moves a deployment from SQLite files to Postgres: python -m workers.store.move --from DATA_DIR [--dry-run]

Stop all workers first. The command needs the deployment's environment: DATABASE_URL is where the devices go, REDIS_URL tells
whether anybody still holds one. Each device is adopted like a new one: its keys and its registry row in one transaction.
The command may be run again after an interruption: a device that is in Postgres already stays as it is there. The files stay
as a backup. In the end the registry is renamed to registry.sqlite3.moved, so that no worker resumes from it by mistake:
WhatsApp throws out a device that is in two places.
"""

import argparse
import asyncio
import sqlite3
import sys
from collections import Counter
from contextlib import closing
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory

from redis.asyncio import Redis

from shared import settings
from shared.core.ids import SessionId, WorkerId
from shared.state import pool as redis_pool
from shared.state.lease import Leases
from shared.tasks import TROUBLE
from shared.telemetry import logs
from workers.engine.devices import settle
from workers.store.device import DeviceTaken, Fence, StoreAway, StoredDevice, StoreRefused
from workers.store.postgres import pgbouncer
from workers.store.postgres.copy import NotADevice, read_file
from workers.store.postgres.dsn import server_of
from workers.store.postgres.reach import reached
from workers.store.postgres.store import PostgresStore
from workers.store.scratch import Scratch, in_use

REGISTRY = "registry.sqlite3"
SECONDS = 300.0
"""Limit of one statement: a device of years has some ten thousand rows."""


class CannotMove(Exception):
    """Nothing was moved; the text is one sentence for the person at the terminal."""


class Transfer(StrEnum):
    MOVED = "moved"
    THERE = "in Postgres already"
    REPLACED = "linked anew in Postgres meanwhile, so the file is out of date"
    FAILED = "NOT moved"


def rows_of(folder: Path) -> list[StoredDevice]:
    """The registry in `folder`. Raises `CannotMove`."""
    registry = folder / REGISTRY
    if not registry.exists():
        moved = registry.with_name(f"{REGISTRY}.moved").exists()
        raise CannotMove(f"{folder} has been moved already." if moved else f"{folder} has no {REGISTRY}.")
    with closing(sqlite3.connect(registry, timeout=5)) as file:
        # Columns stand in the order in which they were added: an older registry has fewer.
        found = file.execute("SELECT * FROM devices ORDER BY session").fetchall()
    files = folder / "devices"
    return [
        StoredDevice(SessionId(session), jid, at, str(files / f"{session}.sqlite3"), *rest)
        for session, jid, at, *rest in found
    ]


async def refuse_while_in_use(folder: Path, redis: Redis) -> None:
    """Raises `CannotMove` while a worker lives on the folder or anybody holds a session."""
    if in_use(folder):
        raise CannotMove(f"A worker still uses {folder}: stop all workers first.")
    try:
        alive = [worker for worker, held in (await Leases(redis).living()).items() if held]
    except TROUBLE as error:
        raise CannotMove(f"Redis cannot be asked whether sessions are held ({type(error).__name__}).") from error
    if alive:
        raise CannotMove(f"Sessions are held, by {', '.join(alive)}: stop all workers, then wait 10 s.")


async def move(rows: list[StoredDevice], store: PostgresStore, *, dry: bool) -> Counter[Transfer]:
    """Move every registered device; prints a line for each."""
    fates: Counter[Transfer] = Counter()
    there = {one.session: one.jid for one in await store.registered()}
    owners = {jid: session for session, jid in there.items()}
    for number, row in enumerate(rows, 1):
        try:
            count = sum(map(len, (await asyncio.to_thread(read_file, row.database, row.jid)).values()))
            if row.session in there:
                fate = Transfer.THERE if there[row.session] == row.jid else Transfer.REPLACED
            elif row.jid in owners:
                raise DeviceTaken(owners[row.jid])  # noqa: TRY301 - told like what the store itself refuses
            else:
                fate = Transfer.MOVED
                if not dry:
                    await store.move_in(row.database, row, Fence(row.token))
            what = f"{count} rows"
        except (NotADevice, DeviceTaken, sqlite3.Error) as error:
            fate, what = Transfer.FAILED, str(error)
        fates[fate] += 1
        _say(f"{number}/{len(rows)} {row.session}: {fate.value} ({what})")
    return fates


def _retire(folder: Path) -> None:
    registry = folder / REGISTRY
    settle(str(registry))
    registry.rename(folder / f"{REGISTRY}.moved")


async def run(folder: Path, *, dry: bool) -> int:
    """The exit code. Raises `CannotMove`, `StoreAway`, `StoreRefused`."""
    config = settings.read()
    logs.configure(config, "store-move")
    if config.database_url is None:
        raise CannotMove("DATABASE_URL is not set: it says where the devices go.")
    server = server_of(config.database_url.get_secret_value())
    rows = rows_of(folder)
    redis = Redis(connection_pool=redis_pool.pool(config))
    try:
        await refuse_while_in_use(folder, redis)
        async with reached(server, pgbouncer.installed(), config.database_pool, seconds=SECONDS) as postgres:
            with TemporaryDirectory() as scratch:
                store = PostgresStore(postgres, Scratch(Path(scratch), WorkerId("move")))
                fates = await move(rows, store, dry=dry)
    finally:
        await redis.aclose(close_connection_pool=True)
    _say("; ".join(f"{count} {fate.value}" for fate, count in fates.items()) or "No device is registered.")
    if dry:
        _say("No device was written (--dry-run).")
    elif not fates[Transfer.FAILED]:
        await asyncio.to_thread(_retire, folder)
        _say(f"Done. Start the workers with DATABASE_URL; {folder} is a backup now.")
    return 1 if fates[Transfer.FAILED] else 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m workers.store.move", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--from", dest="folder", type=Path, required=True, metavar="DATA_DIR", help="with the files")
    parser.add_argument("--dry-run", action="store_true", help="read and compare everything, write nothing")
    asked = parser.parse_args()
    try:
        return asyncio.run(run(asked.folder.resolve(), dry=asked.dry_run))
    except StoreRefused as error:
        sys.stderr.write(f"DATABASE_URL {error}.\n")
    except (CannotMove, StoreAway) as error:
        sys.stderr.write(f"{error}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())
