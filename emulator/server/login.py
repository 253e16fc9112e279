"""A linked device logs in: is it who it says, is it refused, `success`, and what may befall it later.

Source: whatsmeow connectionevents.go, store/clientpayload.go.
"""

from __future__ import annotations

import asyncio
import hmac

from emulator.events import Kind
from emulator.faults import Fault, Step
from emulator.server.state import now_ms
from emulator.server.world import Linked, Peer, World
from emulator.wire.nodes import LID_SERVER, Jid, Node
from emulator.wire.payload import Login


async def begin(connection: Peer, claim: Login) -> None:
    """Everything from the client's payload to `success`."""
    account = connection.world.state.accounts.get(claim.number)
    device = account.devices.get(claim.device) if account else None
    if (rule := connection.strike(Fault.LOGIN_REFUSED)) is not None:
        status = rule.status or 401
        ban = {"code": rule.ban or 101, "expire": rule.expire or 3600} if status == 402 else {}
        if device is not None and status == 401:  # 403 and 406 end when WhatsApp releases the account
            unlink(connection.world, claim.number, claim.device, f"login refused: {status}", tag=connection.tag)
        await connection.fail(connection.failure(status, **ban, **rule.words), f"refused: {status}")
        return
    if account is None or device is None:
        await connection.fail(connection.failure(401), f"device {claim.device} of {claim.number} is not linked")
        return
    if not hmac.compare_digest(bytes.fromhex(device.noise_key), connection.client_static):
        connection.log(Kind.CLIENT_VIOLATION, reason=f"device {device.id} of {claim.number} came with another key")
        await connection.fail(connection.failure(401), "another key than the linked one")
        return
    if not await connection.passes(Step.SUCCESS):
        return
    linked = connection.linked = Linked(account, device)
    older = connection.world.online.get(linked.key)
    connection.world.online[linked.key] = connection
    if older is not None:
        older.spawn(older.fail(conflict("replaced"), "replaced by a newer connection"))
    device.last_seen = now_ms()
    connection.world.state.save(account)
    lid = Jid(account.lid, LID_SERVER, device.id)
    connection.send(Node("success", {"t": str(now_ms() // 1000), "props": "27", "lid": lid, "location": "emulator"}))
    connection.log(Kind.DEVICE_LOGGED_IN, device=device.id, revision=claim.revision)


def conflict(kind: str) -> Node:
    """The stream error of a session that was replaced (`replaced`) or unlinked (`device_removed`)."""
    attrs = {"code": "401"} if kind == "device_removed" else {}
    return Node("stream:error", attrs, (Node("conflict", {"type": kind}),))


def unlink(world: World, number: str, device_id: int, reason: str, *, tag: str = "") -> bool:
    """Takes the device off the account; False if it was not linked."""
    account = world.state.accounts.get(number)
    if account is None or account.devices.pop(device_id, None) is None:
        return False
    world.state.save(account)
    world.mail.pop((number, device_id), None)
    world.phones.forget(number, device_id)
    world.events.add(Kind.DEVICE_UNLINKED, tag=tag, phone=number, device=device_id, reason=reason)
    return True


async def after_login(connection: Peer, linked: Linked) -> None:
    """The faults that wait for a device that is fully connected."""
    if (rule := connection.strike(Fault.CONNECTED_CUT)) is not None:
        await asyncio.sleep(rule.delay or 0)
        connection.cut(Fault.CONNECTED_CUT)
    elif (rule := connection.strike(Fault.CONNECTED_SILENCE)) is not None:
        await asyncio.sleep(rule.delay or 0)
        connection.mute()
    elif (rule := connection.strike(Fault.STREAM_ERROR)) is not None:
        await asyncio.sleep(rule.delay or 0)
        status = rule.status or 503
        await connection.fail(Node("stream:error", {"code": str(status)}), f"stream error {status}")
    elif (rule := connection.strike(Fault.CONFLICT_REPLACED)) is not None:
        await asyncio.sleep(rule.delay or 0)
        await connection.fail(conflict("replaced"), Fault.CONFLICT_REPLACED)
    elif (rule := connection.strike(Fault.DWELL_DROP)) is not None:
        await asyncio.sleep(10.0 if rule.delay is None else rule.delay)
        unlink(connection.world, *linked.key, Fault.DWELL_DROP, tag=connection.tag)
        await connection.fail(conflict("device_removed"), Fault.DWELL_DROP)
