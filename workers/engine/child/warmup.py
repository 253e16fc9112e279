"""Warm-up of a waiting linker: the library's first connections, made before anybody clicks.

The first dial of a process costs 15 to 20 ms more than the second: Go reads and parses the system's certificates when it
first verifies one (14 ms), makes its tables, and SQLite its first schema. So the linker dials itself: through a proxy on
loopback whose certificate is refused. That dial fails, and a failed dial is the one end of an unpaired client after which
no thread stays. Its store, with all tables and no device, is the example of all others: to make one takes another 2 ms.
Measured, `start` to first QR in a fresh process: 33 ms without this, 11 ms with it, 12 ms the second time.

Then the pages of the library's file are given back: 13 MB, most of which only a start needs. A second dial brings back
those that a click needs, 6 MB: without it an attempt begins with 120 page faults more, and a QR comes 1.3 ms later.
"""

import asyncio
import ctypes
import mmap
import os
import re
import shutil
import sqlite3
import ssl
from contextlib import closing
from pathlib import Path

from workers.engine.child.client import Client, Library
from workers.engine.child.confine import warming_socket
from workers.engine.devices import pairing_name
from workers.engine.orders import Options

#: For a linker without a folder: a store in memory that all connections of the process share.
_STORE = "warm?mode=memory&cache=shared&_foreign_keys=on&x="
#: In the folder of a worker's linkers: a store with all tables and no device.
_EMPTY = ".empty"
#: Until the dial must have failed, in seconds. A linker that is slow to warm up is still a linker.
_LIMIT = 3.0
#: Parts of the library's file in memory, as /proc/self/smaps tells them, that may not be written to and never were.
_CLEAN = re.compile(r"^(\w+)-(\w+) r-.p .*/neonize-.*\n(?:\w+: .*\n)*?Anonymous: +0 kB", re.MULTILINE)
#: Bytes of the file that come with a touched page. Linux brings 64 KB, and of a file that was just installed more (seen with
#: 6.18), but nothing beyond a mapping's end, so mappings are cut. 32 KB would save 1.5 MB, and cost a QR 40 page faults.
_PIECE = 1 << 16
#: Self-signed and long public: all it can do is be refused. Made in the zygote, as OpenSSL sets itself up for it: 2 MB.
_CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
_CONTEXT.load_cert_chain(Path(__file__).with_name("warmup.pem"))


async def warm_up(library: Library) -> None:
    """Make the library's first dials, to nowhere, and leave an empty store in the linker's folder if there is none yet."""
    folder = library.options.linking
    store = Path(folder[0], f".warm-{os.getpid()}") if folder else None
    server = await asyncio.start_server(lambda _, writer: writer.close(), sock=warming_socket(), ssl=_CONTEXT)
    port = server.sockets[0].getsockname()[1]
    name = pairing_name(str(store)) if store else _STORE
    try:
        async with asyncio.timeout(_LIMIT):
            for then in (_give_back, None):
                client = Client(library, name, new_device=True, proxy_url=f"https://127.0.0.1:{port}")
                await client.start()
                await client.happenings.get()
                if then:
                    then()
    except TimeoutError:
        pass
    finally:
        server.close()
    if store:
        _leave_empty(store)


def empty_store(options: Options) -> Path | None:
    """A copy of the empty store for an attempt to begin with; None if there is none."""
    copy = Path(options.linking[0], f".begin-{os.getpid()}") if options.linking else None
    if copy is not None:
        try:
            shutil.copyfile(copy.with_name(_EMPTY), copy)
        except OSError:
            return None
    return copy


def _leave_empty(store: Path) -> None:
    """Make the empty store of the folder from one that the library has just made, and never lets go of."""
    empty, copy = store.with_name(_EMPTY), store.with_suffix(".copy")
    try:
        if not empty.exists():
            with closing(sqlite3.connect(store)) as connection:
                connection.execute("VACUUM INTO ?", (str(copy),))
            with closing(sqlite3.connect(copy)) as connection:
                connection.execute("PRAGMA journal_mode=WAL")
            copy.rename(empty)
    except sqlite3.Error:
        copy.unlink(missing_ok=True)
    finally:
        for suffix in ("", "-wal", "-shm"):
            Path(f"{store}{suffix}").unlink(missing_ok=True)


def _give_back() -> None:
    libc = ctypes.CDLL(None)
    for start, end in _CLEAN.findall(Path("/proc/self/smaps").read_text(encoding="ascii", errors="replace")):
        at, last = int(start, 16), int(end, 16)
        libc.madvise(ctypes.c_void_p(at), ctypes.c_size_t(last - at), mmap.MADV_DONTNEED)
        for piece in range(at, last, 2 * _PIECE):  # each other one, which sets it apart from its neighbours
            libc.madvise(ctypes.c_void_p(piece), ctypes.c_size_t(_PIECE), mmap.MADV_DONTDUMP)
    libc.malloc_trim(0)
