"""The media host: files that phones put there for their devices. Source: whatsmeow mediaconn.go, download.go."""

from __future__ import annotations

from emulator.server.world import Linked, Peer, World
from emulator.wire.media import SealedFile
from emulator.wire.nodes import Node

HOST = "mmg.whatsapp.net"
_MOST_BYTES = 256 << 20


def keep(world: World, file: SealedFile) -> None:
    """Puts a file on the host; the oldest make room."""
    world.media[file.path] = file.body
    while sum(map(len, world.media.values())) > _MOST_BYTES:
        del world.media[next(iter(world.media))]


async def answer(peer: Peer, _: Linked, query: Node) -> None:
    """The list of hosts."""
    attrs = {"auth": "emulator", "ttl": "300", "auth_ttl": "21600", "max_buckets": "12"}
    peer.answer(query, Node("media_conn", attrs, (Node("host", {"hostname": HOST}),)))
