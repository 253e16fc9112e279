"""Stanzas that a client sends of its own accord, and who answers them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from emulator.events import Kind
from emulator.faults import Fault, Step, refusal_text
from emulator.server import login, messaging, pairing_code
from emulator.server.world import Linked, Peer, Status
from emulator.wire.keys import verify
from emulator.wire.nodes import Node
from emulator.wire.payload import KEY_TYPE

_SILENT = {"ack", "chatstate", "ib", "presence", "receipt"}
"""Stanzas that want no answer."""


async def handle(connection: Peer, node: Node) -> None:
    """Answers one stanza."""
    if node.tag == "iq":
        await _query(connection, node)
    elif node.tag == "message" and connection.linked is not None:
        await messaging.receive(connection, connection.linked, node)
    elif node.tag not in _SILENT:
        connection.log(Kind.STANZA_UNKNOWN, stanza=str(node)[:500])


async def _query(connection: Peer, query: Node) -> None:
    namespace = query.attr("xmlns")
    if namespace == "w:p":
        _ping(connection, query)
    elif connection.linked is not None:
        await _linked_query(connection, connection.linked, query)
    elif (
        (node := query.child("link_code_companion_reg")) is not None
        and (registration := connection.registration) is not None
        and connection.status is Status.UNLINKED
    ):
        await pairing_code.handle(connection, registration, query, node)
    elif query.child("link_code_companion_reg") is not None and connection.registration is not None:
        # It crossed the phone's yes, or the end of the connection, on the way: no fault of the client's, and no answer.
        connection.log(Kind.STANZA_UNKNOWN, stanza="link_code_companion_reg, too late")
    else:
        connection.log(Kind.CLIENT_VIOLATION, reason=f"{namespace} before the login")
        connection.refuse(query, 401, refusal_text(401))


async def _linked_query(connection: Peer, linked: Linked, query: Node) -> None:
    handler = _HANDLERS.get((query.attr("xmlns"), query.attr("type")))
    if handler is None:
        connection.log(Kind.STANZA_UNKNOWN, stanza=str(query)[:500])
        connection.refuse(query, 501, "feature-not-implemented")
    else:
        await handler(connection, linked, query)


def _ping(connection: Peer, query: Node) -> None:
    answered = connection.strike(Fault.KEEPALIVE_SILENCE) is None
    connection.log(Kind.KEEPALIVE, answered=answered)
    if answered:
        connection.answer(query)


async def _passive(connection: Peer, linked: Linked, query: Node) -> None:
    if not await connection.passes(Step.ACTIVE):
        return
    connection.answer(query)
    if query.child("active") is not None and connection.status is not Status.ONLINE:
        connection.status = Status.ONLINE
        connection.send(Node("ib", {}, (Node("offline", {"count": "0"}),)))
        connection.log(Kind.DEVICE_CONNECTED, device=linked.device.id)
        connection.spawn(login.after_login(connection, linked))


async def _encrypt_get(connection: Peer, linked: Linked, query: Node) -> None:
    if query.child("count") is not None:
        if await connection.passes(Step.PREKEYS):
            connection.answer(query, Node("count", {"value": str(linked.device.prekeys)}))
    elif (wanted := query.child("key")) is not None:
        connection.answer(query, messaging.prekey_bundles(connection, wanted))
    else:
        connection.refuse(query, 400, refusal_text(400))


async def _upload_prekeys(connection: Peer, linked: Linked, query: Node) -> None:
    device = linked.device
    if (rule := connection.strike(Fault.PREKEYS_REFUSED)) is not None:
        status = rule.status or 500
        connection.refuse(query, status, refusal_text(status))
        return
    identity = bytes.fromhex(device.identity_key)
    signed = query.child("skey")
    keys = query.child("list")
    wrong = None
    if query.data("identity") != identity or query.data("type") != KEY_TYPE:
        wrong = "the upload of prekeys names another identity"
    elif signed is None or not verify(identity, KEY_TYPE + signed.data("value"), signed.data("signature")):
        wrong = "the signed prekey of an upload is not signed by the identity"
    elif keys is None or any(len(key.data("value")) != 32 or len(key.data("id")) != 3 for key in keys.children):
        wrong = "an upload of malformed prekeys"
    if wrong is not None or keys is None:
        connection.log(Kind.CLIENT_VIOLATION, reason=wrong)
        connection.refuse(query, 406, "not-acceptable")
        return
    device.prekeys += len(keys.children)
    connection.world.state.save(linked.account)
    connection.log(Kind.PREKEYS_UPLOADED, device=device.id, count=len(keys.children))
    connection.answer(query)


async def _md(connection: Peer, linked: Linked, query: Node) -> None:
    node = query.child("remove-companion-device")
    jid = node.jid("jid") if node else None
    if jid is None or (jid.user, jid.device) != linked.key:
        connection.log(Kind.STANZA_UNKNOWN, stanza=str(query)[:500])
        connection.refuse(query, 400, refusal_text(400))
        return
    login.unlink(connection.world, *linked.key, "the device asked for it", tag=connection.tag)
    connection.answer(query)


async def _accept(connection: Peer, _: Linked, query: Node) -> None:
    connection.answer(query)


async def _usync(connection: Peer, _: Linked, query: Node) -> None:
    messaging.answer_usync(connection, query)


_HANDLERS: dict[tuple[str, str], Callable[[Peer, Linked, Node], Awaitable[None]]] = {
    ("passive", "set"): _passive,
    ("encrypt", "get"): _encrypt_get,
    ("encrypt", "set"): _upload_prekeys,
    ("md", "set"): _md,
    ("usync", "get"): _usync,
    ("privacy", "set"): _accept,
    ("urn:xmpp:whatsapp:dirty", "set"): _accept,
}
