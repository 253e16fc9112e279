"""A linker that misbehaves as the `database` of its `start` says; it takes the place of workers.engine.linker."""

import asyncio
import logging
import os
import sys

from workers.engine.orders import Options
from workers.engine.pipe import Pipe
from workers.engine.protocol import Ended, Ready, Start, to_linker

SECRET = "2@SECRET-OF-A-QR"


async def main(sock, options: Options) -> None:
    pipe = await Pipe.open(sock, to_linker)
    await pipe.send(Ready())
    start = await pipe.receive()
    assert isinstance(start, Start)
    match start.database:
        case "panic":
            from workers.engine.client import Client, Library

            client = Client(Library(options, 4), "nowhere")
            await client._neonize.get_me()
        case "bug":
            raise LookupError(SECRET)
        case "bug in a callback":
            asyncio.get_running_loop().call_soon(lambda: dict[str, str]()[SECRET])
            await pipe.receive()
        case "garbage":
            os.write(3, b'{"type": "qr", "txt": "' + SECRET.encode() + b'"}\n')
            await pipe.receive()
        case "endless line":
            sock.setblocking(True)
            os.write(3, b"x" * 2_000_000)
        case "noise":
            import neonize.utils.log  # noqa: F401

            import workers.engine.client

            print(SECRET, flush=True)
            sys.stderr.write(SECRET + "\n")
            os.write(1, SECRET.encode())
            for name in ("whatsmeow.Client", "Whatsmeow.Database", "neonize.utils.log", "x"):
                logging.getLogger(name).error(SECRET)
            await pipe.send(Ended(reason="said it all"))
        case "modules":
            before = set(sys.modules)
            import workers.engine.client  # noqa: F401

            new = sorted(name for name in set(sys.modules) - before if not name.startswith(("neonize", "workers")))
            await pipe.send(Ended(reason=" ".join(new)))
        case "half a line":
            os.write(3, b'{"type": "wo')
        case "deaf":
            sock.setblocking(True)
            while True:
                await asyncio.Event().wait()
