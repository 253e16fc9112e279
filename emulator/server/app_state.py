"""The query by which a device fetches what its account's devices share. Source: whatsmeow appstate.go."""

from __future__ import annotations

from emulator.events import Kind
from emulator.server import media
from emulator.server.world import Linked, Peer
from emulator.wire import media as files
from emulator.wire import protobuf as wire
from emulator.wire.app_state import Collection
from emulator.wire.nodes import Node


async def answer(peer: Peer, linked: Linked, query: Node) -> None:
    """For each collection that is asked for: a snapshot, patches, or nothing new."""
    asked = query.child("sync")
    held = peer.world.app_state.get(linked.account.number, {})
    answers = [_collection(peer, node, held.get(node.attr("name"))) for node in (asked.children if asked else ())]
    peer.answer(query, Node("sync", {}, tuple(answers)))


def _collection(peer: Peer, asked: Node, held: Collection | None) -> Node:
    version = int(asked.attr("version") or 0)
    attrs = {"name": asked.attr("name"), "type": "result", "has_more_patches": "false"}
    if held is None or version >= held.version:
        return Node("collection", {**attrs, "version": str(version)}, ())
    attrs["version"] = str(held.version)
    peer.log(Kind.APP_STATE_FETCHED, collection=held.name, asked=version, version=held.version)
    if version == 0 or asked.attr("return_snapshot") == "true":
        file = files.seal(held.snapshot(), files.APP_STATE)
        media.keep(peer.world, file)
        # ExternalBlobReference: mediaKey 1, directPath 2, handle 3, fileSizeBytes 4, fileSHA256 5, fileEncSHA256 6
        told = wire.write(
            {1: file.key, 2: file.direct_path, 3: "h", 4: file.length, 5: file.sha256, 6: file.enc_sha256}
        )
        return Node("collection", attrs, (Node("snapshot", {}, told),))
    patches = tuple(Node("patch", {}, patch) for patch in held.after(version))
    return Node("collection", attrs, (Node("patches", {}, patches),))
