"""How Postgres is reached, what is refused at start, and how its tables come about."""

import asyncio
import datetime
import ipaddress
import os
import shutil
from contextlib import AsyncExitStack

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bench.postgres import pooler, private_folder
from bench.round_trips import RoundTrips
from shared import settings
from shared.core.ids import SessionId, WorkerId
from tests.engine.steps import until
from tests.postgres.conftest import POOL
from workers.engine.protocol import Held, Hold
from workers.store import release
from workers.store.device import Fence, StoreAway, StoreRefused, Way
from workers.store.postgres import pgbouncer
from workers.store.postgres.dsn import server_of
from workers.store.postgres.reach import reached, way_to
from workers.store.postgres.store import PostgresStore
from workers.store.scratch import Scratch


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


async def test_tables_without_the_guard_of_devices_get_it(postgres, database, bouncer):
    await postgres.query("DROP TRIGGER wa_guard ON whatsmeow_device", database=database)
    async with reached(server_of(postgres.url(database)), bouncer, POOL):
        pass
    assert await postgres.query("SELECT count(*) FROM pg_trigger WHERE tgname = 'wa_guard'", database=database) == [
        (1,)
    ]


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


async def test_an_old_server_without_a_pooler_is_refused(postgres, database, monkeypatch):
    monkeypatch.setattr("workers.store.postgres.reach.OLDEST_DIRECT", 99)
    server = server_of(postgres.url(database))
    assert await way_to(server, pooler=True) is Way.OWN
    with pytest.raises(StoreRefused, match="install pgbouncer"):
        await way_to(server, pooler=False)


@pytest.fixture
def herokus_home(bouncer, monkeypatch):
    """A home as Heroku's apt buildpack leaves it: PgBouncer where no PATH leads, and its libraries where only
    LD_LIBRARY_PATH does."""
    home = private_folder("home-")
    binary = home / ".apt" / "usr" / "sbin" / "pgbouncer"
    binary.parent.mkdir(parents=True)
    binary.write_text(f'#!/bin/sh\n[ "$LD_LIBRARY_PATH" = {home}/lib ] || exit 127\nexec {bouncer} "$@"\n')
    binary.chmod(0o755)
    monkeypatch.setattr(pgbouncer, "_PLACES", [one for one in pgbouncer._PLACES if ".apt" in one.parts])
    monkeypatch.setenv("PATH", str(home / ".apt" / "usr" / "bin"))
    monkeypatch.setenv("HOME", str(home))
    yield home
    shutil.rmtree(home)


async def test_on_heroku_pgbouncer_is_found_and_finds_its_libraries(herokus_home, postgres, database, monkeypatch):
    binary = pgbouncer.installed()
    assert binary == str(herokus_home / ".apt" / "usr" / "sbin" / "pgbouncer")
    monkeypatch.setenv("LD_LIBRARY_PATH", f"{herokus_home}/lib")
    async with reached(server_of(postgres.url(database)), binary, POOL) as found:
        assert await found.connections.run(lambda connection: connection.fetchval("SELECT 1")) == 1


@pytest.mark.parametrize(
    ("binary", "told"),
    [
        ("/usr/sbin/pgbouncer", "ok each worker reaches Postgres by a PgBouncer of its own ("),
        (None, "warning no pgbouncer"),
    ],
)
async def test_the_release_check_says_by_which_way(
    binary, told, bouncer, postgres, database, monkeypatch, capsys, tmp_path
):
    monkeypatch.setattr(pgbouncer, "installed", lambda: binary and bouncer)
    environment = {
        "DATABASE_URL": postgres.url(database),
        "SECRET_KEY": "s" * 32,
        "API_KEYS": "k" * 16,
        "DATA_DIR": str(tmp_path),
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert await release.check(settings.read()) == 0
    assert told in capsys.readouterr().out


@pytest.fixture
def certificate(postgres) -> str:
    """The path of a certificate with which the server now speaks TLS, and nothing else with those from elsewhere."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "postgres of the tests")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = [postgres.folder / name for name in ("server.pem", "server.key")]
    plain = serialization.NoEncryption()
    encoding = serialization.Encoding.PEM
    paths[0].write_bytes(made.public_bytes(encoding))
    paths[1].write_bytes(key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain))
    for path in paths:
        if os.geteuid() == 0:
            shutil.chown(path, "postgres", "postgres")
        path.chmod(0o600)
    return str(paths[0])


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
@pytest.mark.parametrize("own", [True, False], ids=["pgbouncer", "direct"])
async def test_everybody_speaks_tls_as_sslmode_says(
    mode, own, certificate, steps, postgres, database, bouncer, tmp_path
):
    await asyncio.to_thread(postgres.stop)
    await asyncio.to_thread(
        postgres.start, "ssl=on", f"ssl_cert_file={certificate}", f"ssl_key_file={certificate[:-3]}key"
    )
    link = await steps.link()
    try:
        root = "" if mode == "require" else f"&sslrootcert={certificate}"
        server = server_of(f"{postgres.url(database)}?sslmode={mode}{root}")
        async with reached(server, bouncer if own else None, POOL) as found, steps.holder() as holder:
            store = PostgresStore(found, Scratch(tmp_path, WorkerId("w1")))
            device = await store.adopt(SessionId("company_1"), link.database, link.jid, 1, Fence(1))
            await holder.send(Hold(session=device.session, database=device.database, jid=device.jid))
            await until(holder, Held)
            rows = await postgres.query(
                "SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE datname = $1", database
            )
            assert rows == [(True,)]
    finally:
        await asyncio.to_thread(postgres.stop)


async def test_a_pgbouncer_that_cannot_start_is_reported(postgres, database):
    with pytest.raises(StoreAway, match="pgbouncer ended with"):
        async with reached(server_of(postgres.url(database)), "/bin/false", POOL):
            pass


async def test_own_connections_are_few_and_closed_when_idle(postgres, database, monkeypatch):
    monkeypatch.setattr("workers.store.postgres.connections.IDLE_SECONDS", 0.2)
    async with reached(server_of(postgres.url(database)), None, POOL) as found:
        seen = []
        pair = asyncio.Barrier(2)  # each waits for the other: both are connected then

        async def look(connection):
            async with pair:
                seen.append(await postgres.connections(database))
                await pair.wait()

        await asyncio.gather(*(found.connections.run(look) for _ in range(8)))
        assert max(seen) == 2
        async with asyncio.timeout(10):
            while await postgres.connections(database):
                pass


async def test_a_hand_over_takes_few_round_trips(steps, postgres, database, tmp_path):
    link = await steps.link()
    async with AsyncExitStack() as stack:
        trips = await stack.enter_async_context(RoundTrips.to(postgres.port))
        found = await stack.enter_async_context(reached(server_of(postgres.url(database, port=trips.port)), None, POOL))
        store = PostgresStore(found, Scratch(tmp_path, WorkerId("w1")))
        assert await store.device(SessionId("company_1")) is None  # connected now
        before = trips.count
        await store.adopt(SessionId("company_1"), link.database, link.jid, 1, Fence(1))
        assert trips.count - before <= 2
