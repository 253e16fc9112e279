"""Redis over TLS: a certificate that nobody vouches for is refused, unless REDIS_TLS_VERIFY says otherwise."""

import asyncio
import ssl

import pytest
from pydantic import SecretStr
from redis.exceptions import RedisError

from shared.jobs.queue import client
from shared.settings import Settings
from shared.state import pool as redis_pool
from tests.integration.web import API_KEY, SECRET
from tests.operators.host import certificate


@pytest.fixture
async def tls_port(folder):
    """A server with a self-signed certificate that answers whatever is asked with an error of Redis' form."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate(folder))
    heard = []

    async def serve(reader, writer):
        heard.append(await reader.read(1000))
        writer.write(b"-ERR this is a test\r\n" * 8)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:
        yield server.sockets[0].getsockname()[1], heard


@pytest.mark.parametrize(("verify", "reached"), [(True, False), (False, True)])
async def test_a_certificate_of_nobodys_is_believed_only_when_told_so(tls_port, verify, reached):
    port, heard = tls_port
    settings = Settings(
        redis_url=SecretStr(f"rediss://127.0.0.1:{port}/0"),
        redis_tls_verify=verify,
        secret_key=SecretStr(SECRET),
        api_keys=(SecretStr(API_KEY),),
    )
    redis = client(redis_pool.pool(settings))
    with pytest.raises((RedisError, OSError)):
        async with asyncio.timeout(8):
            await redis.ping()
    await redis.aclose(close_connection_pool=True)
    assert bool([one for one in heard if one]) is reached
