"""The device store's part of the release check (app/release.py): opens it once, as a worker would, and says how it went."""

import asyncio
import os
import sys

from shared import settings
from shared.ids import WorkerId
from shared.settings import Settings
from workers.store import StoreRefused
from workers.store_open import opened

PATIENCE_SECONDS = 25.0


async def check(config: Settings) -> int:
    """Opens the store; 1 when that does not work."""
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(PATIENCE_SECONDS, stop.set)
    try:
        async with opened(config, WorkerId(f"release-{os.getpid()}"), stop) as store:
            if store is None:
                sys.stdout.write("error DATABASE_URL: Postgres cannot be reached\n")
                return 1
            known = await store.held_by_nobody(lambda _: False)
    except StoreRefused as error:
        sys.stdout.write(f"error DATABASE_URL {error}\n")
        return 1
    except OSError as error:
        sys.stdout.write(f"error DATA_DIR {config.data_dir} cannot be used: {error.strerror or type(error).__name__}\n")
        return 1
    where = "Postgres" if config.database_url else f"files below {config.data_dir}"
    sys.stdout.write(f"ok devices are kept in {where}: {len(known)} linked\n")
    if config.database_url is None:
        sys.stdout.write(
            "warning DATABASE_URL is missing: the workers' disk must survive restarts, or every link is lost\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(check(settings.read())))
