"""A real PostgreSQL, a real PgBouncer, the real library, and the emulator for a WhatsApp."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from bench.postgres import Postgres
from shared.core.ids import WorkerId
from tests.e2e.fixtures import a_postgres, folder
from tests.engine.conftest import emulator, emulator_port, engines, environment, steps, tag
from workers.store.postgres import pgbouncer
from workers.store.postgres.dsn import server_of
from workers.store.postgres.reach import Reached, reached
from workers.store.postgres.store import PostgresStore
from workers.store.scratch import Scratch

__all__ = ["emulator", "emulator_port", "engines", "environment", "folder", "steps", "tag"]

POOL = 4
AT = 1_760_000_000_000
"""When the devices of the tests were linked."""


async def count_rows(postgres: Postgres, database: str) -> dict[str, int]:
    """Of every table that is not empty."""
    names = await postgres.query("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", database=database)
    counted = " UNION ALL ".join(f"SELECT '{name}', count(*) FROM \"{name}\"" for (name,) in names)
    return {name: rows for name, rows in await postgres.query(counted, database=database) if rows}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.postgres)


@pytest.fixture(scope="session")
def own_postgres(nothing_left_behind: None) -> Iterator[Postgres]:
    """The server of this test process."""
    with a_postgres() as server:
        yield server


@pytest.fixture
def postgres(own_postgres: Postgres) -> Iterator[Postgres]:
    """The server, running before and after the test."""
    yield own_postgres
    if own_postgres.process is None:
        own_postgres.start()


@pytest.fixture(scope="session")
def bouncer(nothing_left_behind: None) -> str:
    """The path of PgBouncer."""
    found = pgbouncer.installed()
    if found is None:
        pytest.skip("NO PGBOUNCER on this machine")
    return found


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def template(own_postgres: Postgres) -> str:
    """A database with all tables and no devices."""
    name = await own_postgres.database()
    async with reached(server_of(own_postgres.url(name)), None, POOL):
        pass
    return name


@pytest.fixture
async def database(postgres: Postgres, template: str) -> str:
    """The name of a database of this test's own, with all tables and no devices."""
    return await postgres.database(template)


@pytest.fixture
async def way(postgres: Postgres, database: str, bouncer: str) -> AsyncIterator[Reached]:
    """Our way to the database, through a PgBouncer of our own."""
    async with reached(server_of(postgres.url(database)), bouncer, POOL, seconds=5) as found:
        yield found


@pytest.fixture
def store(way: Reached, tmp_path: Path) -> Iterator[PostgresStore]:
    """The store of a worker."""
    scratch = Scratch(tmp_path, WorkerId("w1"))
    yield PostgresStore(way, scratch)
    scratch.close()
