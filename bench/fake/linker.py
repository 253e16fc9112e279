"""A linker whose phone agrees after a while: everything of ours happens, nothing of WhatsApp's."""

import asyncio
import os
import random
import socket
import sqlite3
import time
from contextlib import closing

from workers.engine.child.process import leave
from workers.engine.orders import Options
from workers.engine.pipe import Pipe
from workers.engine.protocol import Connected, Paired, Qr, Ready, Start, Word, to_linker

PHONE_SECONDS = float(os.environ.get("WA_BENCH_PHONE_SECONDS", "2"))


async def main(sock: socket.socket, _: Options) -> None:
    """One attempt, which succeeds."""
    pipe = await Pipe.open(sock, to_linker)
    await pipe.send(Ready())
    start = await pipe.receive()
    if not isinstance(start, Start):
        leave()
    await pipe.send(Qr(text="2@" + "x" * 230, number=1, born=time.time_ns() // 1_000_000))
    await asyncio.sleep(PHONE_SECONDS)
    jid = f"79{random.SystemRandom().randrange(10**9):09}:1@s.whatsapp.net"
    with closing(sqlite3.connect(start.database)) as store, store:
        store.execute("CREATE TABLE whatsmeow_device (jid TEXT PRIMARY KEY)")
        store.execute("INSERT INTO whatsmeow_device VALUES (?)", (jid,))
    await pipe.send(Word(word="success"))
    await pipe.send(Paired(jid=jid, lid=""))
    await pipe.send(Connected())
    leave()
