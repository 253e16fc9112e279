"""How Postgres is reached, what is refused at start, and how its tables come about."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from bench.postgres import distance, pooler
from shared.ids import SessionId, WorkerId
from tests.postgres.conftest import POOL
from workers.store import StoreAway, StoreRefused
from workers.store_dsn import server_of
from workers.store_postgres import PostgresStore
from workers.store_reach import Way, reached, way_to
from workers.store_scratch import Scratch


@pytest.mark.slow
async def test_five_workers_make_the_tables_at_once(postgres, bouncer):
    server = server_of(postgres.url(name := await postgres.database()))

    async def worker(number: int) -> None:
        async with reached(server, bouncer if number % 2 else None, POOL) as found:
            await found.connections.run(lambda connection: connection.fetchval("SELECT count(*) FROM wa_devices"))

    async with asyncio.TaskGroup() as group:
        for number in range(5):
            group.create_task(worker(number))
    [(library, version)] = await postgres.query("SELECT library, version FROM wa_schema", database=name)
    assert await postgres.query("SELECT version FROM whatsmeow_version", database=name) == [(version,)]
    assert library


async def test_tables_of_an_older_library_are_brought_up_to_date_once(postgres, database, bouncer):
    server = server_of(postgres.url(database))
    await postgres.query("UPDATE wa_schema SET library = '0.0.1'", database=database)
    async with reached(server, bouncer, POOL):
        pass
    [(count,)] = await postgres.query("SELECT count(*) FROM wa_schema", database=database)
    assert count == 2


async def test_tables_of_which_some_are_missing_are_not_used(postgres, database, bouncer):
    await postgres.query("DROP TABLE whatsmeow_version, whatsmeow_device CASCADE", database=database)
    with pytest.raises(StoreAway, match="the library did not make its tables"):
        async with reached(server_of(postgres.url(database)), bouncer, POOL):
            pass


async def test_a_role_that_may_make_no_tables_is_refused(postgres, bouncer):
    name = await postgres.database()
    await postgres.query(f"ALTER DATABASE {name} OWNER TO boss")
    with pytest.raises(StoreRefused, match="may not create tables"):
        async with reached(server_of(postgres.url(name)), bouncer, POOL):
            pass


async def test_a_server_is_told_from_a_pooler(postgres, database):
    direct = server_of(postgres.url(database))
    assert await way_to(direct, pooler=True) is Way.OWN
    assert await way_to(direct, pooler=False) is Way.DIRECT
    async with pooler(postgres, "transaction") as port:
        theirs = server_of(postgres.url(database, port=port))
        assert await way_to(theirs, pooler=True) is Way.THEIRS
        async with reached(theirs, None, POOL) as found:
            assert found.dsn.endswith("?sslmode=disable&binary_parameters=yes")
    async with pooler(postgres, "session") as port:
        with pytest.raises(StoreRefused, match="pool_mode=transaction"):
            await way_to(server_of(postgres.url(database, port=port)), pooler=False)


async def test_a_wrong_password_a_missing_database_and_a_server_away_are_told_apart(postgres, database):
    url = postgres.url(database)
    with pytest.raises(StoreRefused, match="not with this password"):
        await way_to(server_of(url.replace("p%40ss", "other")), pooler=True)
    with pytest.raises(StoreRefused, match="does not exist"):
        await way_to(server_of(postgres.url("nowhere")), pooler=True)
    await asyncio.to_thread(postgres.stop)
    with pytest.raises(StoreAway):
        await way_to(server_of(url), pooler=True)


async def test_a_pgbouncer_that_cannot_start_is_reported(postgres, database):
    with pytest.raises(StoreAway, match="pgbouncer ended with"):
        async with reached(server_of(postgres.url(database)), "/bin/false", POOL):
            pass


async def test_own_connections_are_few_and_closed_when_idle(postgres, database, monkeypatch):
    monkeypatch.setattr("workers.store_connections.IDLE_SECONDS", 0.2)
    async with reached(server_of(postgres.url(database)), None, POOL) as found:
        seen = []

        async def look(connection):
            seen.append(await postgres.connections(database))

        await asyncio.gather(*(found.connections.run(look) for _ in range(8)))
        assert max(seen) == 2
        async with asyncio.timeout(10):
            while await postgres.connections(database):
                pass


async def test_a_hand_over_takes_few_round_trips(steps, postgres, database, tmp_path):
    """Counted by a distance that outweighs everything else."""
    link = await steps.link()
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(distance(postgres.port, 200))
        found = await stack.enter_async_context(reached(server_of(postgres.url(database, port=port)), None, POOL))
        store = PostgresStore(found.connections, found.dsn, Scratch(tmp_path, WorkerId("w1")))
        assert await store.device(SessionId("company_1")) is None  # connected now
        began = loop.time()
        await store.adopt(SessionId("company_1"), link.database, link.jid, 1)
        assert (loop.time() - began) / 0.2 < 10
