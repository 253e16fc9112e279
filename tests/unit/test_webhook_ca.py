"""A receiver whose certificate a private authority has signed: refused and named, and taken with WEBHOOK_CA."""

import asyncio
import ssl

from structlog.testing import capture_logs

from shared.core import keys
from shared.core.clock import now_ms
from shared.core.ids import company_of
from shared.state.events import Event, EventShelf, EventType
from tests.operators.host import certificate
from tests.unit.world import SESSION
from workers.delivery import Webhooks


async def test_a_private_authority_is_trusted_once_it_is_named(redis, tmp_path):
    own, key = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own, key)
    asked = []

    async def answer(reader, writer):
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/hooks"
    told = Event(
        id="e1", type=EventType.SESSION_LINKED, company_id=company_of(SESSION), session_id=SESSION, at=now_ms()
    )
    try:
        for trusted in (None, own):
            hooks = Webhooks(url, "s" * 40, redis, lambda _work, _name: None, trusted)
            await EventShelf(redis).put(told)
            with capture_logs() as lines:
                await hooks.deliver(told.id)
            await hooks.close()
            if trusted is None:
                assert not asked
                assert [line["fault"] for line in lines if "fault" in line] == ["certificate refused: see WEBHOOK_CA"]
                await redis.zadd(keys.WEBHOOKS, {told.id: 0})
        assert len(asked) == 1
    finally:
        server.close()
