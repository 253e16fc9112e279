"""A message from a linked device: checked, kept once, opened by the phones it is for, passed on to other linked devices.

Source: whatsmeow send.go, retry.go.
"""

from __future__ import annotations

from dataclasses import replace

from emulator.events import Kind
from emulator.faults import Fault, Step
from emulator.server import mail
from emulator.server.directory import account_at
from emulator.server.state import now_ms
from emulator.server.world import Linked, Opened, Peer, ReceivedMessage
from emulator.wire.nodes import GROUP_SERVER, LID_SERVER, Jid, Node


async def receive(peer: Peer, linked: Linked, node: Node) -> None:
    """A message; one that comes again (after a reconnect) is kept once."""
    if (wrong := _wrong(node)) is not None:
        peer.log(Kind.CLIENT_VIOLATION, reason=wrong)
        _acknowledge(peer, node, 400)
        return
    to = node.jid("to")
    if (status := _refusal(peer, linked, to)) is not None:
        _acknowledge(peer, node, status)
        return
    if not await peer.passes(Step.MESSAGE):
        return
    opened = peer.world.phones.take(peer, linked, node)
    _keep(peer, linked, node, opened)
    _acknowledge(peer, node, None)
    _pass_on(peer, linked, node)
    peer.world.phones.answer(peer, linked, node, opened)


def _wrong(node: Node) -> str | None:
    """A mistake of the client's; None if there is none."""
    participants = node.child("participants")
    sealed = node.child("enc") is not None or (participants is not None and participants.children)
    if node.jid("to") is None or not node.attr("id") or not sealed:
        return f"a message without receiver or content: {str(node)[:200]}"
    if node.child("bot") is not None:
        return "a text marked as written by a bot: its receiver sees a label"
    return None


def _refusal(peer: Peer, linked: Linked, to: Jid | None) -> int | None:
    """The error with which the message is acknowledged, if it is refused."""
    account = account_at(peer, to)
    if (rule := peer.strike_for(Fault.MESSAGE_REFUSED, account.number if account else None)) is not None:
        return rule.status or 463
    if to is not None and to.server == GROUP_SERVER:
        group = peer.world.groups.get(to.user)
        return None if group and linked.account.number in group.members else 403
    return None


def _keep(peer: Peer, linked: Linked, node: Node, opened: list[Opened]) -> None:
    world, (number, device), message_id = peer.world, linked.key, node.attr("id")
    to = node.jid("to")
    account = account_at(peer, to)
    if node.attr("category") == "peer":
        peer.log(Kind.PEER_MESSAGE_RECEIVED, message_id=message_id)
        return
    receiver = account.number if account else str(to)
    said = next((one.content for one in opened if one.content is not None), None)
    kept = world.messages.get((number, message_id))
    if kept is None:
        participants = node.child("participants")
        devices = len(participants.children) if participants else 1
        world.messages[number, message_id] = kept = ReceivedMessage(
            now_ms(), number, device, message_id, receiver, None, devices
        )
        text = said.text if said else None
        peer.log(Kind.MESSAGE_RECEIVED, message_id=message_id, to=receiver, text=text)
    elif node.child("enc") is not None and account is not None:
        peer.log(Kind.MESSAGE_RESENT, message_id=message_id, to=receiver)
    if said is not None and kept.text is None:
        world.messages[number, message_id] = replace(
            kept, text=said.text, kind=said.kind, target=said.target, quoted=said.quoted
        )


def _pass_on(peer: Peer, linked: Linked, node: Node) -> None:
    """To each linked device that the client sealed the message for: of the receiver, of a group's members, of its own account."""
    to, participants = node.jid("to"), node.child("participants")
    shared = node.child("enc") if participants is not None else None
    alone = [Node("to", {"jid": to or ""}, node.children)] if participants is None else []
    identity = [child for child in node.children if child.tag == "device-identity"]
    for part in (*(participants.children if participants else ()), *alone):
        jid, sealed = part.jid("jid"), part.child("enc")
        account = account_at(peer, jid)
        if account is None or jid is None or jid.device not in account.devices or sealed is None:
            continue
        content = [sealed, *([shared] if shared else []), *identity]
        attrs = _origin(linked, node, own=account is linked.account)
        mail.deliver(peer.world, (account.number, jid.device), Node("message", attrs, tuple(content)))


def _origin(linked: Linked, node: Node, *, own: bool) -> dict[str, str | Jid]:
    account, device, to = linked.account, linked.device.id, node.jid("to")
    number, lid = Jid(account.number, device=device), Jid(account.lid, LID_SERVER, device)
    keep = {key: node.attr(key) for key in ("id", "type", "edit", "category") if node.attr(key)}
    attrs: dict[str, str | Jid] = {**keep, "t": str(now_ms() // 1000)}
    if to is not None and to.server == GROUP_SERVER:
        return {**attrs, "from": to, "participant": number, "participant_lid": lid, "notify": account.name}
    if own and to is not None and node.attr("category") != "peer":
        return {**attrs, "from": number, "recipient": to}
    return {**attrs, "from": lid, "sender_pn": number, "notify": account.name}


def _acknowledge(peer: Peer, node: Node, error: int | None) -> None:
    attrs: dict[str, str | Jid] = {"class": "message", "id": node.attr("id"), "t": str(now_ms() // 1000)}
    if (to := node.jid("to")) is not None:
        attrs["from"] = to
    if error is not None:
        attrs["error"] = str(error)
    peer.send(Node("ack", attrs))
