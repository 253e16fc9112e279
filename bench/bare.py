"""Bare neonize, the floor: the library by itself, loaded and warm, in one process. `python -m bench.bare`

Commands come as JSON lines on stdin, answers go to stdout: {"do": "qr"} connects with a new store and says after how
many ms it had a QR; "code" with "phone" goes on to a pairing code; "hold" with "files" logs devices in, one after the
other, and with "inbound" hears what comes in; with "tell", a URL, it tells each text there. `options` are those of the store, behind its name. Leaves by os._exit: an unpaired client's thread never ends.
"""

import asyncio
import json
import logging
import os
import resource
import sys
import tempfile
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

logging.basicConfig(level=logging.WARNING)
logging.getLogger("neonize.utils.log").setLevel(logging.WARNING)
_OUT = os.fdopen(os.dup(1), "w")
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

import httpx  # noqa: E402
import pylibmagic  # noqa: E402, F401
from neonize.aioze import events  # noqa: E402
from neonize.aioze.client import NewAClient  # noqa: E402
from neonize.utils.enum import ClientName, ClientType  # noqa: E402

_folder = tempfile.TemporaryDirectory(prefix="wa-bare-")
_kept: list[Any] = []


def _answer(**fields: object) -> None:
    _OUT.write(json.dumps(fields) + "\n")
    _OUT.flush()


async def _qr(order: dict[str, Any]) -> Any:
    seen = asyncio.Event()
    name = str(Path(_folder.name) / uuid.uuid4().hex) + order.get("options", "")
    began = time.perf_counter()
    client = NewAClient(name, uuid=uuid.uuid4().hex)

    async def on_qr(_: object, _text: bytes) -> None:
        seen.set()

    client.event.qr(on_qr)
    _kept.append((client, await client.connect()))
    await seen.wait()
    if order["do"] == "code":
        await client.PairPhone(order["phone"], True, client_name=ClientName.LINUX, client_type=ClientType.CHROME)
    _answer(ms=(time.perf_counter() - began) * 1000)


async def _hold(order: dict[str, Any]) -> None:
    began = time.perf_counter()
    http = httpx.AsyncClient(trust_env=False) if "tell" in order else None
    for name in order["files"]:
        online = asyncio.Event()
        client = NewAClient(name, uuid=uuid.uuid4().hex)

        async def on_connected(_: object, __: object, online: asyncio.Event = online) -> None:
            online.set()

        async def on_message(_: object, message: Any) -> None:
            text = message.Message.conversation  # heard, as a program hears it
            if http is not None:
                said = {"id": message.Info.ID, "from": message.Info.MessageSource.Sender.User, "text": text}
                await http.post(order["tell"], json=said)

        client.event(events.ConnectedEv)(on_connected)
        if order.get("inbound"):
            client.event(events.MessageEv)(on_message)
        _kept.append((client, await client.connect()))
        await online.wait()
    _answer(seconds=time.perf_counter() - began)


async def _main() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(2000))
    reader = asyncio.StreamReader(limit=2**20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    _answer(ready=True)
    while line := await reader.readline():
        order = json.loads(line)
        await (_hold(order) if order["do"] == "hold" else _qr(order))
    _folder.cleanup()
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(_main())
