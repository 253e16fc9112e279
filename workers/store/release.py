"""The device store's part of the release check (app/release.py): opens it once, as a worker would, and tells the way."""

import asyncio
import os
import sys

from shared import settings
from shared.core.ids import WorkerId
from shared.settings import Settings
from workers.store.device import StoreAway, StoreRefused, Way
from workers.store.open import opened
from workers.store.postgres.pgbouncer import installed

PATIENCE_SECONDS = 25.0
_SAID = {
    Way.FILES: "warning DATABASE_URL is missing: the workers' disk must survive restarts, or every link is lost",
    Way.OWN: f"ok each worker reaches Postgres by a PgBouncer of its own ({installed()})",
    Way.THEIRS: "ok each worker reaches Postgres by the pooler in DATABASE_URL",
    Way.DIRECT: "warning no pgbouncer is installed here: each session in use takes two connections to Postgres, "
    "without a bound (docs/device-store.md)",
}


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
    except StoreRefused as error:
        sys.stdout.write(f"error DATABASE_URL {error}\n")
        return 1
    except StoreAway as error:
        sys.stdout.write(f"error DATABASE_URL: Postgres is out of reach again ({error})\n")
        return 1
    where = "Postgres" if config.database_url else f"files below {config.data_dir}"
    sys.stdout.write(f"ok devices are kept in {where}: {len(known)} linked\n{_SAID[store.way]}\n")
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(check(settings.read())))
