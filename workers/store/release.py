"""The device store's part of the release check (app/release.py): opens it once, as a worker would, and tells the way."""

import asyncio
import os
import sys

from shared import settings
from shared.core.ids import WorkerId
from shared.settings import Settings
from workers.store.device import StoreAway, StoreRefused
from workers.store.open import opened

PATIENCE_SECONDS = 25.0


async def check(config: Settings) -> int:
    """Open the store, and print how that went. Returns the exit code: 1 if the store cannot be used."""
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(PATIENCE_SECONDS, stop.set)
    try:
        async with opened(config, WorkerId(f"release-{os.getpid()}"), stop) as store:
            if store is None:
                sys.stdout.write("error DATABASE_URL: Postgres cannot be reached\n")
                return 1
            known = await store.to_hold()
            way = await _way(config)
    except StoreRefused as error:
        sys.stdout.write(f"error DATABASE_URL {error}\n")
        return 1
    except StoreAway as error:
        sys.stdout.write(f"error DATABASE_URL: Postgres is out of reach again ({error})\n")
        return 1
    where = "Postgres" if config.database_url else f"files below {config.data_dir}"
    sys.stdout.write(f"ok devices are kept in {where}: {len(known)} linked\n{way}")
    if config.database_url is None:
        sys.stdout.write(
            "warning DATABASE_URL is missing: the workers' disk must survive restarts, or every link is lost\n"
        )
    return 0


async def _way(config: Settings) -> str:
    """The workers' way to Postgres, as a line for the report; nothing for files."""
    if config.database_url is None:
        return ""
    from workers.store.postgres import pgbouncer  # as in open.py: only where there is a Postgres
    from workers.store.postgres.dsn import server_of
    from workers.store.postgres.reach import Way, way_to

    binary = pgbouncer.installed()
    way = await way_to(server_of(config.database_url.get_secret_value()), pooler=binary is not None)
    told = {
        Way.OWN: f"ok each worker reaches Postgres by a PgBouncer of its own ({binary})",
        Way.THEIRS: "ok each worker reaches Postgres by the pooler in DATABASE_URL",
        Way.DIRECT: "warning no pgbouncer is installed here: each session in use takes two connections to Postgres, "
        "without a bound (docs/device-store.md)",
    }
    return f"{told[way]}\n"


if __name__ == "__main__":
    sys.exit(asyncio.run(check(settings.read())))
