"""Warm-up of a waiting linker: the library's first connection, made before anybody clicks.

The first dial of a process costs 15 to 20 ms more than the second: Go reads and parses the system's certificates when it
first verifies one (14 ms), makes its tables, and SQLite its first schema. So the linker dials itself: through a proxy on
loopback whose certificate is refused, with an empty store in memory. That dial fails, and a failed dial is the one end
of an unpaired client after which no thread stays.
Measured, `start` to first QR in a fresh process: 33 ms without this, 13 ms with it, 12 ms the second time.

What the library has read of its file meanwhile is given back: 13 MB, which the kernel has at hand when they are wanted.
"""

import asyncio
import ctypes
import mmap
import re
import ssl
from pathlib import Path

from workers.engine.child.client import Client, Library

#: A store in memory that all connections of the process share.
_STORE = "warm?mode=memory&cache=shared&_foreign_keys=on&x="
#: Until the dial must have failed, in seconds. A linker that is slow to warm up is still a linker.
_LIMIT = 3.0
#: Parts of the library's file in memory, as /proc/self/smaps tells them, that may not be written to and never were.
_CLEAN = re.compile(r"^(\w+)-(\w+) r-.p .*/neonize-.*\n(?:\w+: .*\n)*?Anonymous: +0 kB", re.MULTILINE)


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
    _give_back()


def _give_back() -> None:
    libc = ctypes.CDLL(None)
    for start, end in _CLEAN.findall(Path("/proc/self/smaps").read_text(encoding="ascii", errors="replace")):
        at = int(start, 16)
        libc.madvise(ctypes.c_void_p(at), ctypes.c_size_t(int(end, 16) - at), mmap.MADV_DONTNEED)
