"""Warm-up of a waiting linker: the library's first connection, made before anybody clicks.

The first dial of a process costs 15 to 20 ms more than the second: Go reads and parses the system's certificates when it
first verifies one (14 ms), makes its tables, and SQLite its first schema. So the linker dials itself: through a proxy on
loopback whose certificate is refused, with an empty store in memory. That dial fails, and a failed dial is the one end
of an unpaired client after which no thread stays.
Measured, `start` to first QR in a fresh process: 33 ms without this, 13 ms with it, 12 ms the second time.
"""

import asyncio
import ssl
from pathlib import Path

from workers.engine.child.client import Client, Library

#: A store in memory that all connections of the process share.
_STORE = "warm?mode=memory&cache=shared&_foreign_keys=on&x="
#: Until the dial must have failed, in seconds. A linker that is slow to warm up is still a linker.
_LIMIT = 3.0


async def warm_up(library: Library) -> None:
    """Make the library's first dial, to nowhere."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # Self-signed and long public: all it can do is be refused.
    context.load_cert_chain(Path(__file__).with_name("warmup.pem"))
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    client = Client(library, _STORE, new_device=True, proxy_url=f"https://127.0.0.1:{port}")
    try:
        async with asyncio.timeout(_LIMIT):
            await client.start()
            await client.happenings.get()
    except TimeoutError:
        pass
    finally:
        server.close()
