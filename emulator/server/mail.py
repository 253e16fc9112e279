"""Mail of a linked device: messages, receipts, notifications and calls stay until the device has acknowledged them.

A device that was away gets them at its next login, marked `offline`, as from the real server.
"""

from __future__ import annotations

from emulator.server.state import now_ms
from emulator.server.world import Linked, Peer, Status, World
from emulator.wire.nodes import SERVER_JID, Jid, Node

_MOST_WAITING = 20_000
MailKey = tuple[str, str, str, str]


def _key(node: Node) -> MailKey:
    kind = node.attr("type") if node.tag == "receipt" else ""
    return node.tag, node.attr("id"), kind, node.attr("participant") or node.attr("from")


def deliver(world: World, to: tuple[str, int], node: Node) -> None:
    """Sends a stanza to a linked device now, or when it comes back."""
    waiting = world.mail.setdefault(to, {})
    waiting[_key(node)] = node
    if len(waiting) > _MOST_WAITING:
        del waiting[next(iter(waiting))]
    peer = world.online.get(to)
    if peer is not None and peer.status is Status.ONLINE:
        peer.send(node)


def notification(world: World, kind: str, *content: Node, **attrs: str | Jid) -> Node:
    """A notification, from the server unless `origin` names somebody else."""
    own: dict[str, str | Jid] = {"from": attrs.pop("origin", SERVER_JID), "id": world.next_id(), "type": kind}
    return Node("notification", {**own, "t": str(now_ms() // 1000), **attrs}, content)


def acknowledged(peer: Peer, linked: Linked, node: Node) -> None:
    """The device has said `ack`, or sent the receipt of a message."""
    waiting = peer.world.mail.get(linked.key, {})
    tag = node.attr("class") if node.tag == "ack" else "message"
    kind = node.attr("type") if tag == "receipt" else ""
    more = node.child("list")
    ids = {node.attr("id"), *(item.attr("id") for item in (more.children if more else ()))}
    for key in [key for key in waiting if key[0] == tag and key[1] in ids and key[2] == kind]:
        del waiting[key]


def hand_over(peer: Peer, linked: Linked) -> int:
    """All that waited, to a device that has just logged in; how many stanzas."""
    waiting = list(peer.world.mail.get(linked.key, {}).values())
    if waiting:
        counts = {tag: str(sum(node.tag == tag for node in waiting)) for tag in ("message", "notification", "receipt")}
        preview = Node("offline_preview", {"count": str(len(waiting)), "appdata": "0", "call": "0", **counts})
        peer.send(Node("ib", {"from": SERVER_JID}, (preview,)))
    for number, node in enumerate(waiting):
        peer.send(Node(node.tag, {**node.attrs, "offline": str(number % 10)}, node.content))
    peer.send(Node("ib", {"from": SERVER_JID}, (Node("offline", {"count": str(len(waiting))}),)))
    return len(waiting)
