"""Linking: the refs of the QR, and pair-success with its signatures (which the pairing code uses as well).

Source: whatsmeow pair.go.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import os
import time
from dataclasses import asdict

from emulator.events import Kind
from emulator.faults import Fault, Step
from emulator.server.state import Account, Device, now_ms
from emulator.server.world import OfferedRef, Peer, Status
from emulator.wire import protobuf as wire
from emulator.wire.keys import KeyPair, verify
from emulator.wire.nodes import LID_SERVER, Jid, Node
from emulator.wire.payload import Registration

ACCOUNT_PREFIX = b"\x06\x00"
DEVICE_PREFIX = b"\x06\x01"


async def begin(connection: Peer, registration: Registration) -> None:
    """Serve a client that is not linked: refuse it, or offer refs and wait for a phone."""
    connection.log(
        Kind.CLIENT_REGISTERED,
        os=registration.os,
        platform=registration.platform,
        version=registration.version,
        full_sync=registration.full_sync,
        **asdict(registration.history),
    )
    if (rule := connection.strike(Fault.CONNECT_REFUSED)) is not None:
        status = rule.status or 405
        ban = {"code": rule.ban or 101, "expire": rule.expire or 3600} if status == 402 else {}
        await connection.fail(connection.failure(status, **ban, **rule.words), f"refused: {status}")
        return
    if not await connection.passes(Step.REFS):
        return
    settings = connection.settings
    now = time.monotonic()
    refs = ["2@" + base64.b64encode(os.urandom(96)).decode() for _ in range(settings.refs)]
    for index, ref in enumerate(refs):
        connection.world.refs[ref] = OfferedRef(connection, now + settings.shown_seconds(index) + settings.ref_grace)
    connection.spawn(_timed(connection))
    connection.log(Kind.QR_OFFERED, refs=len(refs))
    answer = await connection.query(Node("pair-device", {}, tuple(Node("ref", {}, ref.encode()) for ref in refs)))
    connection.refs_acknowledged = answer.attr("type") == "result"
    if connection.strike(Fault.QR_SILENCE) is not None:
        connection.mute()


async def _timed(connection: Peer) -> None:
    """Do what is due some time after the refs were offered."""
    if (rule := connection.strike(Fault.QR_CUT)) is not None:
        await asyncio.sleep(rule.delay or 0)
        connection.cut(Fault.QR_CUT)
        return
    if (rule := connection.strike(Fault.QR_RETIRED)) is not None:
        await asyncio.sleep(rule.delay or 0)
        connection.qr_is_dead = True
    elif (rule := connection.strike(Fault.COMPANION_REG_REFRESH)) is not None:
        await asyncio.sleep(rule.delay or 0)
        # The client shows the ref on screen anew, with its new secret, and its clock begins again.
        for offered in connection.world.refs.values():
            if offered.connection is connection:
                offered.expires_at += rule.delay or 0
        connection.notify("companion_reg_refresh", Node("companion_reg_refresh"))
    await asyncio.sleep(connection.settings.pairing_seconds)
    if connection.status is Status.UNLINKED:
        connection.cut("the time for pairing is over")


async def confirm(connection: Peer, registration: Registration, account: Account, adv_secret: bytes) -> None:
    """The phone has agreed: pair-success, the client's signature, the device is linked, 515."""
    connection.status = Status.LINKING
    device_id, key_index = account.next_device_id(), account.last_key_index + 1
    account.last_device, account.last_key_index = device_id, key_index
    connection.log(Kind.PAIRING_CONFIRMED, device=device_id)
    if not await connection.passes(Step.PAIR_SUCCESS):
        return
    # ADVDeviceIdentity: rawID 1, timestamp 2, keyIndex 3
    details = wire.write({1: account.adv_id, 2: now_ms() // 1000, 3: key_index})
    signer = KeyPair.generate() if connection.strike(Fault.PAIR_WRONG_SIGNATURE) else account.identity
    signature = signer.sign(ACCOUNT_PREFIX + details + registration.identity_key)
    # ADVSignedDeviceIdentity: details 1, accountSignatureKey 2, accountSignature 3, deviceSignature 4
    identity = wire.write({1: details, 2: account.identity.public, 3: signature})
    secret = os.urandom(32) if connection.strike(Fault.PAIR_WRONG_HMAC) else adv_secret
    sealed = wire.write({1: identity, 2: hmac.digest(secret, identity, hashlib.sha256)})
    answer = await connection.query(_pair_success(account, device_id, sealed))
    if answer.attr("type") != "result":
        error = answer.child("error")
        connection.status = Status.UNLINKED
        connection.log(
            Kind.PAIRING_FAILED, status=error.attr("code") if error else "", reason=error.attr("text") if error else ""
        )
        return
    if (wrong := _wrong_signature(answer, details, key_index, registration, account)) is not None:
        connection.log(Kind.CLIENT_VIOLATION, reason=wrong)
        await connection.fail(connection.failure(401), f"violation: {wrong}")
        return
    if connection.strike(Fault.PAIR_SIGN_LOST) is not None:
        connection.cut(Fault.PAIR_SIGN_LOST)
        return
    account.devices[device_id] = Device(
        id=device_id,
        noise_key=connection.client_static.hex(),
        identity_key=registration.identity_key.hex(),
        registration_id=registration.registration_id,
        key_index=key_index,
        os=registration.os,
        platform=registration.platform,
        linked_at=now_ms(),
    )
    connection.world.state.save(account)
    connection.log(Kind.DEVICE_LINKED, device=device_id)
    await _restart(connection)


def _pair_success(account: Account, device_id: int, sealed_identity: bytes) -> Node:
    children = [Node("device-identity", {}, sealed_identity)]
    if account.business_name:
        children.append(Node("biz", {"name": account.business_name}))
    jid, lid = Jid(account.number, device=device_id), Jid(account.lid, LID_SERVER, device_id)
    children += [Node("device", {"jid": jid, "lid": lid}), Node("platform", {"name": account.platform})]
    return Node("pair-success", {}, tuple(children))


def _wrong_signature(
    answer: Node, details: bytes, key_index: int, registration: Registration, account: Account
) -> str | None:
    """Fault of the client's pair-device-sign; None for a right one."""
    node = answer.child("pair-device-sign", "device-identity")
    if node is None:
        return "the answer to pair-success holds no pair-device-sign"
    if node.attr("key-index") != str(key_index):
        return f"pair-device-sign names key index {node.attr('key-index')}, not {key_index}"
    try:
        signed = wire.Message(node.data())
    except wire.MalformedMessage as error:
        return f"pair-device-sign is no message: {error}"
    if signed.data(1) != details:
        return "pair-device-sign changed the details"
    own = registration.identity_key
    if not verify(own, DEVICE_PREFIX + details + own + account.identity.public, signed.data(4)):
        return "the device signature is wrong"
    return None


async def _restart(connection: Peer) -> None:
    """The 515 that sends a freshly linked client into its first login."""
    if not await connection.passes(Step.RESTART):
        return
    await asyncio.sleep(connection.settings.restart_delay)
    node = Node("stream:error", {"code": "515"})
    if connection.strike(Fault.RESTART_THEN_CUT) is not None:
        connection.send(node)
        connection.cut(Fault.RESTART_THEN_CUT)
    else:
        await connection.fail(node, "restart after pairing")
