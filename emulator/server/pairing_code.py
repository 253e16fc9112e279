"""The pairing code: companion_hello, what the phone sends back when a code is typed, companion_finish.

The code itself never comes here: the client hides its ephemeral key under it, and so does the phone. Only the phone notices a
wrong code, because it cannot open the client's bundle. Source: whatsmeow pair-code.go.
"""

from __future__ import annotations

import asyncio
import base64
import os
import re
import time

from emulator.events import Kind
from emulator.faults import Fault, Step, refusal_text
from emulator.server.world import Peer, PendingCode
from emulator.wire.nodes import SERVER, Node
from emulator.wire.payload import Registration

WRAPPED_BYTES = 80
"""Salt 32, IV 16, hidden public key 32."""
_LIMIT_SECONDS = 600.0
_BROWSERS = {"Chrome", "Edge", "Firefox", "IE", "Opera", "Safari"}
_SYSTEMS = {"Android", "Linux", "Mac OS", "macOS", "Ubuntu", "Windows"}
_PLATFORMS = set("0123456789ce")


async def handle(connection: Peer, registration: Registration, query: Node, node: Node) -> None:
    """An `iq` with link_code_companion_reg."""
    match node.attr("stage"):
        case "companion_hello":
            await _hello(connection, registration, query, node)
        case "companion_finish":
            _finish(connection, query, node)
        case stage:
            connection.log(Kind.CLIENT_VIOLATION, reason=f"unknown stage {stage}")
            connection.refuse(query, 400, refusal_text(400))


def _wrong_hello(connection: Peer, node: Node) -> str | None:
    """Fault of a companion_hello; None for a right one."""
    jid = node.jid("jid")
    if jid is None or jid.server != SERVER or jid.device or not re.fullmatch(r"[1-9][0-9]{6,14}", jid.user):
        return f"{node.attr('jid')} is no phone number"
    if len(node.data("link_code_pairing_wrapped_companion_ephemeral_pub")) != WRAPPED_BYTES:
        return "the hidden ephemeral key has a wrong length"
    if node.data("companion_server_auth_key_pub") != connection.client_static:
        return "companion_server_auth_key_pub is not the key of this connection"
    if node.data("companion_platform_id").decode(errors="replace") not in _PLATFORMS:
        return "unknown companion_platform_id"
    display = node.data("companion_platform_display").decode(errors="replace")
    name = re.fullmatch(r"([A-Za-z]+) \(([A-Za-z ]+)\)", display)
    if name is None or name[1] not in _BROWSERS or name[2] not in _SYSTEMS:
        return f"the display name {display!r} is not a known `Browser (OS)`"
    return None


async def _hello(connection: Peer, registration: Registration, query: Node, node: Node) -> None:
    world, settings = connection.world, connection.settings
    wrong = _wrong_hello(connection, node)
    jid = node.jid("jid")
    if wrong is not None or jid is None:
        connection.log(Kind.CLIENT_VIOLATION, reason=wrong)
        _refuse(connection, query, 400)
        return
    connection.phone = jid.user
    if not connection.refs_acknowledged:
        connection.log(Kind.CLIENT_VIOLATION, reason="a code was asked for before the refs were acknowledged")
        _refuse(connection, query, 428)
        return
    if (rule := connection.strike(Fault.CODE_REFUSED)) is not None:
        _refuse(connection, query, rule.status or 429)
        return
    now = time.monotonic()
    requests = [at for at in world.code_requests.get(jid.user, []) if now - at < _LIMIT_SECONDS]
    world.code_requests[jid.user] = [*requests, now]
    if settings.codes_per_number and len(requests) >= settings.codes_per_number:
        _refuse(connection, query, 429)
        return
    if not await connection.passes(Step.CODE):
        return
    ref = b"3@" + base64.b64encode(os.urandom(48))
    wrapped = node.data("link_code_pairing_wrapped_companion_ephemeral_pub")
    world.codes[jid.user] = PendingCode(ref, jid.user, connection, registration, wrapped, now + settings.code_seconds)
    push = node.attr("should_show_push_notification") == "true"
    connection.log(Kind.CODE_REQUESTED, display=node.data("companion_platform_display").decode(), push=push)
    if push:
        connection.log(Kind.PHONE_NOTIFIED, text="enter-code-to-link")
    connection.answer(query, Node("link_code_companion_reg", {}, (Node("link_code_pairing_ref", {}, ref),)))


def _refuse(connection: Peer, query: Node, status: int) -> None:
    connection.log(Kind.CODE_REFUSED, status=status)
    connection.refuse(query, status, refusal_text(status))


def _finish(connection: Peer, query: Node, node: Node) -> None:
    pending = connection.world.codes.get(connection.phone or "")
    if (
        pending is None
        or pending.finish is None
        or pending.connection is not connection
        or node.data("link_code_pairing_ref") != pending.ref
        or node.data("companion_identity_public") != pending.registration.identity_key
    ):
        connection.log(Kind.CLIENT_VIOLATION, reason="a companion_finish that fits no typed code")
        connection.refuse(query, 400, refusal_text(400))
        return
    connection.answer(query)
    if not pending.finish.done():
        pending.finish.set_result(node.data("link_code_pairing_wrapped_key_bundle"))


async def companion_bundle(pending: PendingCode, wrapped_key: bytes, identity: bytes) -> bytes:
    """Sends the phone's half to the client and returns the client's sealed bundle. TimeoutError if none comes."""
    connection = pending.connection
    pending.finish = asyncio.get_running_loop().create_future()
    children = (
        Node("link_code_pairing_wrapped_primary_ephemeral_pub", {}, wrapped_key),
        Node("primary_identity_pub", {}, identity),
        Node("link_code_pairing_ref", {}, pending.ref),
    )
    connection.notify("link_code_companion_reg", Node("link_code_companion_reg", {"stage": "primary_hello"}, children))
    try:
        async with asyncio.timeout(connection.settings.finish_seconds):
            return await pending.finish
    finally:
        pending.finish = None
