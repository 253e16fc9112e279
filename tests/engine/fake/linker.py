"""A linker that misbehaves as the `database` of its `start` says; it takes the place of workers.engine.linker."""

import asyncio
import json
import logging
import os
import sys

from workers.engine.orders import Options
from workers.engine.pipe import Pipe
from workers.engine.protocol import Ended, Ready, Start, to_linker

SECRET = "2@SECRET-OF-A-QR"


def facts(options: Options) -> dict[str, object]:
    import ctypes

    from workers.engine.child import client as ours  # isort: skip(first, as it prepares what the others do)

    from neonize.aioze.client import NewAClient, gocode
    from neonize.utils.enum import LogLevel
    from neonize.utils.log import log

    jid = "79001234567:3@s.whatsapp.net"
    library = ours.Library(options, 4)
    client = ours.Client(library, "nowhere", jid=jid)
    return {
        "log level": LogLevel.from_logging(log.level).level.decode(),
        "root handlers": [type(handler).__name__ for handler in logging.getLogger().handlers],
        "executor": library.executor._max_workers,
        "finalizer alive": client._neonize._stop_finalizer.alive,
        "uuid is fresh": len(client._neonize.uuid) == 32
        and ours.Client(library, "x")._neonize.uuid not in client._neonize.uuid,
        "jid": ours.format_jid(client._neonize.jid),
        "neonize frees what Stop returns": gocode.Stop.restype is ctypes.c_void_p,
        "ours does not": ours._STOP(("Stop", gocode)).restype is None,
        "the hook for words exists": callable(getattr(NewAClient, "_NewAClient__onLoginStatus", None)),
    }


async def abandoned(options: Options, folder: str) -> dict[str, object]:
    from workers.engine.child.client import Client, Library
    from workers.engine.devices import pairing_name

    library = Library(options, 8)
    client = Client(library, pairing_name(f"{folder}/a.db"), new_device=True)
    await client.start()
    happenings = [type(await client.happenings.get()).__name__ for _ in range(2)]
    _, running = await asyncio.wait({client._neonize.connect_task}, timeout=1)
    other = Client(library, pairing_name(f"{folder}/b.db"), new_device=True, proxy_url="http://127.0.0.1:1")
    await other.start()
    failed = [type(await other.happenings.get()).__name__]
    await asyncio.wait({other._neonize.connect_task}, timeout=1)
    assert other._neonize.connect_task.done()
    return {"happenings": happenings, "still running": bool(running), "after a failed dial": failed}


async def storm(options: Options) -> dict[str, object]:
    from workers.engine.child.client import Client, Library

    library = Library(options, 300)

    async def once() -> str:
        client = Client(library, "s?mode=memory&cache=shared&_foreign_keys=on&x=", new_device=True)
        await client.start()
        await client.stop()
        return type(await client.happenings.get()).__name__

    return {"ends": sorted(set(await asyncio.gather(*(once() for _ in range(200))))), "starts": library.starts}


def burgle(folder: str) -> dict[str, str]:
    """Whatever a broken library could try, and how it went."""
    import signal
    import socket
    import subprocess
    from pathlib import Path

    victim = json.loads(Path(folder, "victim.json").read_text())

    def listen(family: socket.AddressFamily, address: object) -> None:
        with socket.socket(family) as one:
            one.bind(address)  # type: ignore[arg-type]
            one.listen()

    def fork() -> None:
        if os.fork() == 0:
            os._exit(0)

    def pair() -> None:
        for one in socket.socketpair():
            one.close()

    def knock(path: str) -> None:
        with socket.socket(socket.AF_UNIX) as one:
            one.connect(path)

    def fast_open(port: int) -> None:
        with socket.socket() as one:
            one.sendto(b"PING", 0x20000000, ("127.0.0.1", port))

    tries = {
        "read the worker's environment": lambda: Path(f"/proc/{victim['worker']}/environ").read_bytes(),
        "read the worker's memory": lambda: open(f"/proc/{victim['worker']}/mem", "rb").close(),
        "read the zygote's environment": lambda: Path(f"/proc/{os.getppid()}/environ").read_bytes(),
        "read a file outside": lambda: Path(victim["secret"]).read_text(),
        "read the machine's passwords": lambda: Path("/etc/shadow").read_text(),
        "list a folder outside": lambda: os.listdir(os.path.dirname(victim["secret"])),
        "write a file outside": lambda: Path(victim["outside"]).write_text("x"),
        "write beside the code": lambda: Path(__file__).with_name("new.py").write_text("x"),
        "write into /tmp": lambda: Path("/tmp/wa-burgled").write_text("x"),
        "listen on a port": lambda: listen(socket.AF_INET, ("127.0.0.1", 0)),
        "listen for everybody": lambda: listen(socket.AF_INET6, ("::", 0)),
        "listen on a path": lambda: listen(socket.AF_UNIX, f"{folder}/socket"),
        "open a raw socket": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close(),
        "run a program": lambda: subprocess.run(["/bin/true"], check=True),
        "fork": fork,
        "kill the worker": lambda: os.kill(victim["worker"], signal.SIGCONT),
        "write into its folder": lambda: Path(folder, "own").write_text("x"),
        "look a name up": lambda: socket.getaddrinfo("localhost", 80),
        "make a pair": pair,
        "dial its proxy": lambda: socket.create_connection(("127.0.0.1", victim["proxy"]), 5).close(),
        "dial another port": lambda: socket.create_connection(("127.0.0.1", victim["port"]), 5).close(),
        "dial it by sending": lambda: fast_open(victim["port"]),
        "dial it by another protocol": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262).close(),
        "dial a Unix socket": lambda: knock(victim["unix"]),
        "hear the kernel": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 15).close(),
    }
    went = {}
    for name, attempt in tries.items():
        try:
            attempt()
            went[name] = "done"
        except OSError as error:
            went[name] = type(error).__name__
    return went


async def main(sock, options: Options) -> None:
    pipe = await Pipe.open(sock, to_linker)
    await pipe.send(Ready())
    start = await pipe.receive()
    assert isinstance(start, Start)
    what, _, folder = start.database.partition(" in ")
    match what:
        case "panic":
            from workers.engine.child.client import Client, Library

            client = Client(Library(options, 4), "nowhere")
            await client._neonize.get_me()
        case "unknown device":
            from workers.engine.child.client import Client, Library
            from workers.engine.devices import held_name

            name = held_name(f"{folder}/x.db")
            await Client(Library(options, 4), name, jid="79001234567:3@s.whatsapp.net").start()
            await asyncio.Event().wait()
        case "burgle":
            from workers.engine.child.client import Library
            from workers.engine.child.confine import seal

            library = Library(options, 4)  # Go's threads are there
            held = seal()
            went = await asyncio.get_running_loop().run_in_executor(library.executor, burgle, folder)
            said = {"held": held, "went": went, "environment": sorted(os.environ)}
            await pipe.send(Ended(reason=json.dumps(said)))
        case "facts":
            await pipe.send(Ended(reason=json.dumps(facts(options))))
        case "abandoned":
            await pipe.send(Ended(reason=json.dumps(await abandoned(options, folder))))
        case "storm":
            await pipe.send(Ended(reason=json.dumps(await storm(options))))
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
            while True:  # endless: one that came to its end could exit before it is killed
                os.write(3, b"x" * 100_000)
        case "noise":
            import workers.engine.child.client

            print(SECRET, flush=True)
            sys.stderr.write(SECRET + "\n")
            os.write(1, SECRET.encode())
            for name in ("whatsmeow.Client", "Whatsmeow.Database", "neonize.utils.log", "x"):
                logging.getLogger(name).error(SECRET)
            await pipe.send(Ended(reason="said it all"))
        case "modules":
            before = set(sys.modules)
            import workers.engine.child.client  # noqa: F401

            new = sorted(name for name in set(sys.modules) - before if not name.startswith(("neonize", "workers")))
            await pipe.send(Ended(reason=" ".join(new)))
        case "half a line":
            os.write(3, b'{"type": "wo')
        case "deaf":
            sock.setblocking(True)
            while True:
                await asyncio.Event().wait()
