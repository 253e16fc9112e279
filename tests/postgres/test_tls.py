"""Postgres over TLS: a password goes to nobody whose certificate does not fit, and never in the clear."""

import asyncio
import contextlib
import ssl

import asyncpg
import certifi
import pytest

from tests.operators.host import certificate
from workers.store.postgres.dsn import server_of


@contextlib.asynccontextmanager
async def server(folder, host, *, speaks_tls=True):
    """A server with a self-signed certificate for `host`: its port, and the beginnings of what it was told behind that."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate(folder, host))
    heard = []

    async def serve(reader, writer):
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):  # refused at the handshake
            await reader.readexactly(8)
            writer.write(b"S" if speaks_tls else b"N")
            if speaks_tls:
                await writer.start_tls(context)
            heard.append(await reader.read(1000))
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        yield listening.sockets[0].getsockname()[1], heard


async def is_told(folder, host, query, **how):
    """True if our client, under this URL, tells such a server who it is."""
    async with server(folder, host, **how) as (port, heard):
        asked = query.format(own=folder / "redis.crt", public=certifi.where())
        place = server_of(f"postgres://u:p@127.0.0.1:{port}/db?{asked}")
        with pytest.raises((OSError, asyncpg.PostgresError, asyncpg.InterfaceError)):
            await asyncpg.connect(**place.arguments(), timeout=5)
    return any(heard)


@pytest.mark.parametrize(
    ("host", "query", "told"),
    [
        ("127.0.0.9", "sslmode=require", True),  # encrypted, from whoever answers
        ("127.0.0.1", "sslmode=require&sslrootcert={own}", True),
        ("127.0.0.1", "sslmode=require&sslrootcert={public}", False),  # nobody vouches for it
        ("127.0.0.9", "sslmode=verify-ca&sslrootcert={own}", True),
        ("127.0.0.1", "sslmode=verify-ca&sslrootcert={public}", False),
        ("127.0.0.1", "sslmode=verify-full&sslrootcert={own}", True),
        ("127.0.0.9", "sslmode=verify-full&sslrootcert={own}", False),  # of another host
    ],
)
async def test_a_server_is_told_who_we_are_only_if_its_certificate_fits(tmp_path, host, query, told):
    assert await is_told(tmp_path, host, query) is told


@pytest.mark.parametrize("mode", ["require", "verify-full&sslrootcert={own}"])
async def test_a_server_without_tls_is_told_nothing(tmp_path, mode):
    assert not await is_told(tmp_path, "127.0.0.1", f"sslmode={mode}", speaks_tls=False)
