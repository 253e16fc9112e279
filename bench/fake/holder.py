"""A holder whose sessions are always online."""

import socket

from workers.engine.child.process import leave
from workers.engine.orders import Options
from workers.engine.pipe import Pipe
from workers.engine.protocol import Held, Hold, Ready, Release, Released, to_holder


async def main(sock: socket.socket, _: Options) -> None:
    """Say yes to everything."""
    pipe = await Pipe.open(sock, to_holder)
    await pipe.send(Ready())
    while (order := await pipe.receive()) is not None:
        match order:
            case Hold(session=session):
                await pipe.send(Held(session=session))
            case Release(session=session):
                await pipe.send(Released(session=session))
            case _:
                pass
    leave()
