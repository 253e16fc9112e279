"""DATABASE_URL, read once for three readers."""

import ssl

import certifi
import pytest

from tests.each import each
from workers.store.device import StoreRefused
from workers.store.postgres.dsn import server_of


def test_percent_encoding_is_undone_once():
    server = server_of("postgres://us%40er:p%40ss%2Fw%3Ard%20%25@db.example:6000/sal%C3%B6n")
    assert (server.user, server.password, server.database) == ("us@er", "p@ss/w:rd %", "salön")
    assert (server.host, server.port, server.sslmode) == ("db.example", 6000, "require")
    assert server.library_dsn(pooled=True) == (
        "postgres://us%40er:p%40ss%2Fw%3Ard%20%25@db.example:6000/sal%C3%B6n?sslmode=require&binary_parameters=yes"
    )
    assert "p@ss" not in repr(server)


def test_only_without_a_pooler_the_server_is_asked_to_close_idle_connections():
    server = server_of("postgresql://u:p@127.0.0.1/db")
    assert server.library_dsn(pooled=False).endswith(
        "/db?sslmode=disable&binary_parameters=yes&idle_session_timeout=2000"
    )
    assert server_of("postgres://u:p@[::1]:7/db").library_dsn(pooled=True).startswith("postgres://u:p@[::1]:7/db?")
    assert server_of("postgres://u:p@h/db?options=-c%20search_path%3Dpublic").database == "db"


def test_a_unix_socket_is_named_by_its_folder():
    server = server_of("postgres://u@/db?host=/run/postgresql")
    assert (server.host, server.sslmode) == ("/run/postgresql", "disable")
    assert server.library_dsn(pooled=True) == (
        "postgres://u@/db?host=/run/postgresql&port=5432&sslmode=disable&binary_parameters=yes"
    )


@each(
    ("asked", "mode", "verifies", "names"),
    [
        ("sslmode=require", "require", False, False),
        (f"sslmode=require&sslrootcert={certifi.where()}", "verify-ca", True, False),
        (f"sslrootcert={certifi.where()}", "verify-ca", True, False),
        (f"sslmode=verify-ca&sslrootcert={certifi.where()}", "verify-ca", True, False),
        (f"sslmode=verify-full&sslrootcert={certifi.where()}", "verify-full", True, True),
        (f"ssl=verify-full&sslrootcert={certifi.where()}", "verify-full", True, True),  # asyncpg's own spelling
    ],
)
def test_sslmode_means_for_us_what_it_means_for_postgres(asked, mode, verifies, names):
    server = server_of(f"postgres://u:p@db.example/db?{asked}")
    context = server.arguments()["ssl"]
    assert (context.verify_mode is ssl.CERT_REQUIRED, context.check_hostname) == (verifies, names)
    certificates = f"&sslrootcert={certifi.where()}" if verifies else ""
    assert server.library_dsn(pooled=True).endswith(f"?sslmode={mode}&binary_parameters=yes{certificates}")


@each(
    ("url", "says"),
    [
        ("postgres://u:p@h/db?search_path=wa_1", "search_path"),
        ("postgres://u:p@h/db?binary_parameters=no", "binary_parameters=no"),
        ("postgres://u:p@h/db?sslmode=perhaps", "an sslmode that there is not"),
        ("postgres://u:p@h/db?options=-c%20search_path%3Dwa", "options"),
        ("postgres://u:p@h/db?schema=wa", "schema"),
        ("postgres://u:p@h/db?currentSchema=wa", "currentschema"),
        ("postgres://u:p@h/db?sslcert=/c.pem&sslkey=/k.pem", "sslcert"),
        ("postgres://u:p@h/db?replication=database", "replication"),
        ("postgres://u:p@h/db?sslcrl=/revoked.crl", "sslcrl"),
        ("postgres://u@h/db?passfile=/passwords", "passfile"),
        ("postgres://u:p@h/db?sslmode=verify-full&sslrootcert=/not/there.pem", "sslrootcert that is not there"),
        ("postgres://u:p[a@h/db", "%5B"),
        ("postgres://u:p#q@h/db", "%23"),
        ("postgres://u:p?q@h/db", "percent-encoded"),
        ("postgres:///db?host=h&port=many&user=u", "port"),
        ("postgres://u:p@h/db?sslmode=verify-full", "sslrootcert"),
        ("postgres://u:p@h/", "one host"),
        ("postgres://h/db", "one host"),
        ("postgres://u:p@h1:5432,h2:5432/db", "several hosts"),
        ("postgres://u:p@h1,h2/db", "several hosts"),
        ("postgres://u:p@h:port/db", "percent-encoded"),
        ("postgres://u:pa/ss@h/db", "percent-encoded"),
        ("postgres://u:p%0Aq@h/db", "line break"),
    ],
)
def test_urls_that_would_corrupt_or_mislead_are_refused_without_the_password(url, says):
    with pytest.raises(StoreRefused) as refused:
        server_of(url)
    assert says in str(refused.value)
    assert "pa/ss" not in str(refused.value)


@each(
    ("query", "mode"),
    [
        ("sslmode=require&channel_binding=require", "require"),  # Neon
        ("sslmode=require&options=endpoint%3Dep-cool-name-1", "require"),  # Neon, for clients without SNI
        ("pgbouncer=true&connection_limit=1", "require"),  # Supabase, Prisma
        ("pgbouncer=true&schema=public", "require"),
        ("application_name=x&connect_timeout=10&keepalives=1", "require"),
        ("statement_cache_size=0&prepared_statements=false", "require"),
        ("target_session_attrs=read-write", "require"),
        ("sslmode=prefer", "require"),  # never less than encrypted
        ("sslmode=allow", "require"),
        ("sslmode=no-verify", "require"),  # Heroku, for Node
        ("ssl=true", "require"),
        ("sslmode=", "require"),
        ("SSLMODE=DISABLE", "disable"),
        ("ssl=false", "disable"),
        ("", "require"),
    ],
)
def test_a_url_as_hosts_hand_it_out_is_taken_and_tells_the_library_nothing_strange(query, mode):
    for scheme in ("postgres", "postgresql", "postgresql+asyncpg"):
        server = server_of(f"{scheme}://u:p@db.example/db?{query}")
        assert server.sslmode == mode
        assert server.library_dsn(pooled=True).partition("?")[2] == f"sslmode={mode}&binary_parameters=yes"


def test_a_login_in_the_query_is_read_and_loopback_needs_no_encryption():
    server = server_of("postgresql:///?host=127.0.0.1&port=6543&user=u&password=p%23&dbname=db&sslmode=prefer")
    assert (server.host, server.port, server.user, server.password, server.database, server.sslmode) == (
        "127.0.0.1",
        6543,
        "u",
        "p#",
        "db",
        "disable",
    )


def test_the_certificates_of_the_system_are_a_file_for_the_library(monkeypatch):
    paths = ssl.get_default_verify_paths()._replace(cafile=certifi.where())
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths)
    server = server_of("postgres://u:p@h/db?sslmode=verify-full&sslrootcert=system")
    assert server.sslrootcert == certifi.where()
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths._replace(cafile=None))
    with pytest.raises(StoreRefused, match="name one"):
        server_of("postgres://u:p@h/db?sslmode=verify-full&sslrootcert=system")
