"""A receiver whose certificate a private authority has signed: refused and named, and taken with WEBHOOK_CA."""

import ssl

from pydantic import SecretStr

from shared.core.ids import CompanyId
from shared.core.signing import new_secret
from shared.settings import Settings
from shared.state.events import Due
from shared.state.receivers import Receiver
from tests.operators.host import certificate
from tests.serving import serving
from workers.sender import Sender


async def test_a_private_authority_is_trusted_once_it_is_named(tmp_path):
    own, key = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own, key)
    asked = []

    async def answer(reader, writer):
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()

    due = Due("e1", "session.linked", CompanyId("salon"), b"{}", 0, 1)
    async with serving(answer, ssl=context) as port:
        receiver = Receiver(f"https://127.0.0.1:{port}/hooks", new_secret(), frozenset(), own=False)
        for trusted, fault in ((None, "certificate refused: see WEBHOOK_CA"), (own, None)):
            config = Settings(secret_key=SecretStr("s" * 32), api_keys=(SecretStr("k" * 16),), webhook_ca=trusted)
            sender = Sender(config)
            assert await sender.send(receiver, due) == fault
            sender.close()
        assert len(asked) == 1
