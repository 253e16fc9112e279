"""Sending a text: which devices has a number, which keys have they, and the message itself.

Every number has exactly one device here that can receive: its phone. Source: whatsmeow user.go, prekeys.go, send.go.
"""

from __future__ import annotations

from emulator.events import Kind
from emulator.faults import Fault, Step
from emulator.server.state import Account, now_ms
from emulator.server.world import Linked, Peer, ReceivedMessage
from emulator.wire.nodes import LID_SERVER, SERVER, Jid, Node
from emulator.wire.payload import KEY_TYPE
from emulator.wire.signal import CannotOpen, open_prekey_message, text_of

_SIGNED_PREKEY_ID = (1).to_bytes(3)


def _account(connection: Peer, jid: Jid) -> Account | None:
    state = connection.world.state
    return (
        state.by_lid(jid.user)
        if jid.server == LID_SERVER
        else state.account(jid.user)
        if jid.server == SERVER
        else None
    )


def answer_usync(connection: Peer, query: Node) -> None:
    """Devices and lid of each number that is asked for."""
    wanted = query.child("usync", "list")
    users = []
    for user in wanted.children if wanted else ():
        jid = user.jid("jid")
        account = _account(connection, jid) if jid else None
        if jid is None or account is None:
            continue
        devices = Node("devices", {}, (Node("device-list", {}, (Node("device", {"id": "0"}),)),))
        lid = Node("lid", {"val": Jid(account.lid, LID_SERVER)})
        users.append(Node("user", {"jid": jid}, (devices, lid)))
    sid = query.child("usync")
    attrs = dict(sid.attrs) if sid else {}
    connection.answer(query, Node("usync", attrs, (Node("list", {}, tuple(users)),)))


def prekey_bundles(connection: Peer, wanted: Node) -> Node:
    """The keys of each device that is asked for: identity and signed prekey of its phone."""
    users = []
    for user in wanted.children:
        jid = user.jid("jid")
        account = _account(connection, jid) if jid else None
        if jid is None or account is None or jid.device:
            error = Node("error", {"code": "404", "text": "item-not-found"})
            users.append(Node("user", {"jid": jid or ""}, (error,)))
            continue
        connection.world.state.save(account)
        signed = account.signed_prekey.public
        prekey = (
            Node("id", {}, _SIGNED_PREKEY_ID),
            Node("value", {}, signed),
            Node("signature", {}, account.identity.sign(KEY_TYPE + signed)),
        )
        keys = (
            Node("registration", {}, account.registration_id.to_bytes(4)),
            Node("type", {}, KEY_TYPE),
            Node("identity", {}, account.identity.public),
            Node("skey", {}, prekey),
        )
        users.append(Node("user", {"jid": jid}, keys))
    return Node("list", {}, tuple(users))


async def receive(connection: Peer, linked: Linked, node: Node) -> None:
    """Keeps a message and acknowledges it. A message that comes again (after a reconnect) is kept once."""
    to, message_id = node.jid("to"), node.attr("id")
    participants = node.child("participants")
    if to is None or not message_id or participants is None or not participants.children:
        connection.log(Kind.CLIENT_VIOLATION, reason=f"a message without receiver or content: {str(node)[:200]}")
        _acknowledge(connection, node, 400)
        return
    if node.child("bot") is not None:
        connection.log(Kind.CLIENT_VIOLATION, reason="a text marked as written by a bot: its receiver sees a label")
        _acknowledge(connection, node, 400)
        return
    if (rule := connection.strike(Fault.MESSAGE_REFUSED)) is not None:
        _acknowledge(connection, node, rule.status or 463)
        return
    if not await connection.passes(Step.MESSAGE):
        return
    world, (number, device) = connection.world, linked.key
    if (number, message_id) not in world.messages:
        account = _account(connection, to)
        receiver = account.number if account else str(to)
        text = _text(connection, account, participants)
        world.messages[number, message_id] = ReceivedMessage(
            now_ms(), number, device, message_id, receiver, text, len(participants.children)
        )
        connection.log(Kind.MESSAGE_RECEIVED, message_id=message_id, to=receiver, text=text)
    _acknowledge(connection, node, None)


def _text(connection: Peer, receiver: Account | None, participants: Node) -> str | None:
    """The text for the receiver's phone; None if there is none or it cannot be opened (that is logged)."""
    for participant in participants.children:
        jid, sealed = participant.jid("jid"), participant.child("enc")
        if receiver is None or jid is None or _account(connection, jid) is not receiver or sealed is None:
            continue
        try:
            plain = open_prekey_message(sealed.data(), receiver.identity, receiver.signed_prekey)
        except CannotOpen as error:
            connection.log(Kind.CLIENT_VIOLATION, reason=f"a message that cannot be opened: {error}")
            return None
        return text_of(plain)
    return None


def _acknowledge(connection: Peer, node: Node, error: int | None) -> None:
    attrs: dict[str, str | Jid] = {"class": "message", "id": node.attr("id"), "t": str(now_ms() // 1000)}
    if (to := node.jid("to")) is not None:
        attrs["from"] = to
    if error is not None:
        attrs["error"] = str(error)
    connection.send(Node("ack", attrs))
