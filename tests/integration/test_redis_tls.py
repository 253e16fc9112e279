"""Redis over TLS: a certificate that nobody vouches for, or of another host, is refused, unless it is said otherwise."""

import asyncio
import contextlib
import ssl

import pytest
from pydantic import SecretStr
from redis.exceptions import RedisError

from app import release
from shared.jobs.queue import client
from shared.settings import Settings
from shared.state import connections
from shared.state import pool as redis_pool
from tests.integration.web import API_KEY, SECRET
from tests.operators.host import certificate
from tests.serving import serving


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Give up after one try: a certificate does not get better."""
    monkeypatch.setattr(connections, "PATIENCE_SECONDS", 0)


@contextlib.asynccontextmanager
async def server(folder, host, trusted=None):
    """A server with a self-signed certificate for `host`, that answers whatever is asked with an error of Redis' form. With
    `trusted` it wants that of its client."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate(folder, host))
    if trusted is not None:
        context.load_verify_locations(trusted)
        context.verify_mode = ssl.CERT_REQUIRED
    heard = []

    async def serve(reader, writer):
        with contextlib.suppress(OSError):  # refused at the handshake
            heard.append(await reader.read(1000))
        writer.write(b"-ERR this is a test\r\n" * 8)

    async with serving(serve, ssl=context) as port:
        yield port, heard


def settings_of(url, verify=True):
    return Settings(
        redis_url=SecretStr(url),
        redis_tls_verify=verify,
        secret_key=SecretStr(SECRET),
        api_keys=(SecretStr(API_KEY),),
    )


async def is_reached(settings, heard):
    redis = client(redis_pool.pool(settings))
    with pytest.raises((RedisError, OSError)):
        async with asyncio.timeout(8):
            await redis.ping()
    await redis.aclose(close_connection_pool=True)
    return bool([one for one in heard if one])


@pytest.mark.parametrize(
    ("host", "query", "verify", "reached"),
    [
        ("127.0.0.1", "", True, False),  # nobody vouches for it
        ("127.0.0.1", "", False, True),
        ("127.0.0.1", "?ssl_cert_reqs=none", True, True),
        ("127.0.0.1", "?ssl_ca_certs={own}", True, True),
        ("127.0.0.9", "?ssl_ca_certs={own}", True, False),  # of another host
        ("127.0.0.9", "?ssl_ca_certs={own}&ssl_check_hostname=false", True, True),
        ("127.0.0.9", "?ssl_cert_reqs=none&ssl_check_hostname=true", True, True),
    ],
)
async def test_a_certificate_is_believed_only_of_the_host_and_when_somebody_vouches_or_when_told_so(
    folder, host, query, verify, reached
):
    async with server(folder, host) as (port, heard):
        url = f"rediss://127.0.0.1:{port}/0" + query.format(own=folder / "redis.crt")
        assert await is_reached(settings_of(url, verify), heard) is reached


async def test_a_client_shows_its_own_certificate_when_the_url_names_one(folder, tmp_path):
    own, key = certificate(tmp_path)
    async with server(folder, "127.0.0.1", trusted=own) as (port, heard):
        url = f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={folder / 'redis.crt'}"
        assert await is_reached(settings_of(f"{url}&ssl_certfile={own}&ssl_keyfile={key}"), heard)


@pytest.mark.parametrize(
    ("host", "query", "says"),
    [
        ("127.0.0.1", "", "REDIS_TLS_VERIFY=false"),
        ("127.0.0.9", "?ssl_ca_certs={own}", "ssl_check_hostname=false"),
    ],
)
async def test_the_release_check_names_the_way_out(folder, host, query, says):
    async with server(folder, host) as (port, _):
        url = f"rediss://127.0.0.1:{port}/0" + query.format(own=folder / "redis.crt")
        (said,) = await release.redis(settings_of(url))
        assert (said.kind, says in said.what) == ("error", True), said
