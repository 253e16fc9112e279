"""Stanzas that a client sends of its own accord, and who answers them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from emulator.events import Kind
from emulator.faults import Fault, Step, refusal_text
from emulator.server import app_state, directory, groups, login, mail, media, messaging, pairing_code, prekeys
from emulator.server.world import Linked, Peer, Status
from emulator.wire.nodes import Node

_SILENT = {"ack", "chatstate", "ib", "presence", "receipt"}
"""Stanzas that want no answer."""


_AFTERWARDS = {"ack", "receipt"}
"""Stanzas by which a client answers: they are no occasion, or life would beget life."""


async def handle(connection: Peer, node: Node) -> None:
    """Answers one stanza; then something of ordinary life may happen."""
    await _handle(connection, node)
    if connection.linked is not None and connection.status is Status.ONLINE and node.tag not in _AFTERWARDS:
        connection.world.phones.live(connection, connection.linked)


async def _handle(connection: Peer, node: Node) -> None:
    if node.tag == "iq":
        await _query(connection, node)
    elif node.tag == "message" and connection.linked is not None:
        await messaging.receive(connection, connection.linked, node)
    elif node.tag in ("ack", "receipt") and connection.linked is not None:
        mail.acknowledged(connection, connection.linked, node)
        if node.tag == "receipt":
            connection.world.phones.hear(connection, connection.linked, node)
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
        connection.world.phones.live(connection, linked, arriving=True)
        connection.status = Status.ONLINE
        waited = mail.hand_over(connection, linked)
        connection.log(Kind.DEVICE_CONNECTED, device=linked.device.id, waited=waited)
        connection.spawn(login.after_login(connection, linked))


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


def _holds(answer: Node) -> Handler:
    """A handler that always answers the same."""

    async def handler(connection: Peer, _: Linked, query: Node) -> None:
        connection.answer(query, answer)

    return handler


async def _picture(connection: Peer, _: Linked, query: Node) -> None:
    connection.refuse(query, 404, refusal_text(404))


Handler = Callable[[Peer, Linked, Node], Awaitable[None]]
_HANDLERS: dict[tuple[str, str], Handler] = {
    ("passive", "set"): _passive,
    ("encrypt", "get"): prekeys.get,
    ("encrypt", "set"): prekeys.upload,
    ("md", "set"): _md,
    ("usync", "get"): directory.answer,
    ("w:g2", "get"): groups.answer,
    ("privacy", "get"): _holds(Node("privacy", {}, (Node("category", {"name": "last", "value": "all"}),))),
    ("privacy", "set"): _accept,
    ("abt", "get"): _holds(Node("props", {"protocol": "1", "ab_key": "emulator", "hash": "1", "refresh": "86400"}, ())),
    ("w", "get"): _holds(Node("props", {"version": "1", "hash": "1"}, ())),
    ("blocklist", "get"): _holds(Node("list", {}, ())),
    ("w:profile:picture", "get"): _picture,
    ("w:m", "set"): media.answer,
    ("w:sync:app:state", "set"): app_state.answer,
    ("w:stats", "set"): _accept,
    ("urn:xmpp:whatsapp:push", "set"): _accept,
    ("urn:xmpp:whatsapp:dirty", "set"): _accept,
}
