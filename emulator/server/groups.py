"""Groups: who is in which, and what a client may ask of them.

Source: whatsmeow group.go.
"""

from __future__ import annotations

from emulator.faults import refusal_text
from emulator.server.world import Group, Linked, Peer
from emulator.wire.nodes import LID_SERVER, Jid, Node


async def answer(peer: Peer, linked: Linked, query: Node) -> None:
    """An `iq get` of the namespace w:g2: one group, or all that the account is in."""
    to, world = query.jid("to"), peer.world
    if query.child("participating") is not None:
        own = [group for group in world.groups.values() if linked.account.number in group.members]
        peer.answer(query, Node("groups", {}, tuple(_group_node(peer, group) for group in own)))
        return
    group = world.groups.get(to.user) if to else None
    status = 404 if group is None else 403 if linked.account.number not in group.members else None
    if group is None or status is not None:
        peer.refuse(query, status or 404, refusal_text(status or 404))
        return
    peer.answer(query, _group_node(peer, group))


def _group_node(peer: Peer, group: Group) -> Node:
    made = str(group.made_at)
    creator = Jid(group.members[0])
    attrs: dict[str, str | Jid] = {"id": group.id, "subject": group.subject, "creation": made, "creator": creator}
    attrs |= {"s_t": made, "s_o": creator, "addressing_mode": "pn", "size": str(len(group.members))}
    return Node("group", attrs, tuple(_participant(peer, group, number) for number in group.members))


def _participant(peer: Peer, group: Group, number: str) -> Node:
    lid = Jid(peer.world.state.account(number).lid, LID_SERVER)
    rank = {"type": "superadmin"} if number == group.members[0] else {}
    return Node("participant", {"jid": Jid(number), "lid": lid, **rank})
