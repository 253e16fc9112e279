"""The floor of many sockets: what Redis announces goes to a websocket as it is, and nothing else is done. `python -m bench.forward URL PORT`

Whoever connects says hello with a link's token, as to web; the company in it names the channel `bare:<session>`.
"""

import asyncio
import base64
import json
import sys

from redis.asyncio import Redis
from websockets.asyncio.server import ServerConnection, serve

_sockets: dict[bytes, ServerConnection] = {}


async def _welcome(socket: ServerConnection) -> None:
    claims = json.loads(await socket.recv())["token"].split(".")[1]
    session = f"company_{json.loads(base64.urlsafe_b64decode(claims + '==='))['sub']}"
    _sockets[f"bare:{session}".encode()] = socket
    await socket.send(json.dumps({"sessionId": session, "seq": 0}, separators=(",", ":")))
    await socket.wait_closed()


async def main() -> None:
    """Until it is killed."""
    pubsub = Redis.from_url(sys.argv[1]).pubsub(ignore_subscribe_messages=True)
    await pubsub.psubscribe("bare:*")
    async with serve(_welcome, "127.0.0.1", int(sys.argv[2]), compression=None, ping_interval=None):
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        async for message in pubsub.listen():
            if (socket := _sockets.get(message["channel"])) is not None:
                await socket.send(message["data"], text=True)


if __name__ == "__main__":
    asyncio.run(main())
