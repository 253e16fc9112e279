"""The keys by which one writes to a device for the first time: clients bring theirs, and ask for those of others.

Source: whatsmeow prekeys.go, Baileys Utils/signal.ts.
"""

from __future__ import annotations

import hashlib

from emulator.events import Kind
from emulator.faults import Fault, Step, refusal_text
from emulator.server import mail
from emulator.server.directory import account_at
from emulator.server.state import PHONES_PREKEY_ID, Account, Device
from emulator.server.world import Linked, Peer, World
from emulator.wire.keys import verify
from emulator.wire.nodes import Jid, Node
from emulator.wire.payload import KEY_TYPE
from emulator.wire.signal import Bundle

_FEW = 10
"""With fewer one-time keys than this left, the server asks the device for more."""
KEPT = 60
"""One-time keys of a device that are kept; of the others only their number is."""


async def get(peer: Peer, linked: Linked, query: Node) -> None:
    """Answer with the number of keys that are left, a fingerprint of them, or the keys of others."""
    if query.child("count") is not None:
        if await peer.passes(Step.PREKEYS):
            peer.answer(query, Node("count", {"value": str(linked.device.prekeys)}))
    elif query.child("digest") is not None:
        _digest(peer, linked.device, query)
    elif (wanted := query.child("key")) is not None:
        if await peer.passes(Step.KEYS):
            peer.answer(query, Node("list", {}, tuple(_keys_of(peer, user.jid("jid")) for user in wanted.children)))
    else:
        peer.refuse(query, 400, refusal_text(400))


def _keys_of(peer: Peer, jid: Jid | None) -> Node:
    account = account_at(peer, jid)
    if jid is None or account is None:
        return _no_keys(jid, 404)
    if (rule := peer.strike_for(Fault.KEYS_REFUSED, account.number, device=jid.device)) is not None:
        return _no_keys(jid, rule.status or 404)
    bundle, signature = _bundle(peer, account, jid.device)
    if bundle is None:
        return _no_keys(jid, 404)
    keys = [
        Node("registration", {}, bundle.registration_id.to_bytes(4)),
        Node("type", {}, KEY_TYPE),
        Node("identity", {}, bundle.identity),
        key_node("skey", bundle.signed_id, bundle.signed, signature),
    ]
    if bundle.one_time_id is not None:
        keys.append(key_node("key", bundle.one_time_id, bundle.one_time))
    return Node("user", {"jid": jid}, tuple(keys))


def key_node(tag: str, number: int, public: bytes, signature: bytes = b"") -> Node:
    """One prekey as it stands in a bundle."""
    parts = (Node("id", {}, number.to_bytes(3)), Node("value", {}, public))
    return Node(tag, {}, (*parts, Node("signature", {}, signature)) if signature else parts)


def _no_keys(jid: Jid | None, status: int) -> Node:
    return Node("user", {"jid": jid or ""}, (Node("error", {"code": str(status), "text": refusal_text(status)}),))


def _bundle(peer: Peer, account: Account, number: int) -> tuple[Bundle | None, bytes]:
    """The bundle of one device of an account and the signature of its signed prekey."""
    if number in account.devices:
        device = account.devices[number]
        return take_bundle(peer.world, account, device), bytes.fromhex(device.signed_prekey)[35:]
    keys = account.companion_keys(number)
    if not account.on_whatsapp or keys is None:
        return None, b""
    peer.world.state.save(account)
    identity, signed = keys
    bundle = Bundle(account.registration_id, identity.public, PHONES_PREKEY_ID, signed.public)
    return bundle, identity.sign(KEY_TYPE + signed.public)


def take_bundle(world: World, account: Account, device: Device) -> Bundle | None:
    """The keys of a linked device, one of its one-time keys among them, which is then used up. None before it has brought any."""
    signed = bytes.fromhex(device.signed_prekey)
    if not signed:
        return None
    one_time = bytes.fromhex(device.one_time.pop(0)) if device.one_time else b""
    device.prekeys = max(device.prekeys - bool(one_time), 0)
    world.state.save(account)
    if one_time and device.prekeys < _FEW:
        ask_for_more(world, account, device)
    return Bundle(
        device.registration_id,
        bytes.fromhex(device.identity_key),
        int.from_bytes(signed[:3]),
        signed[3:35],
        int.from_bytes(one_time[:3]) if one_time else None,
        one_time[3:],
    )


def brought_by(receipt: Node) -> Bundle | None:
    """The keys that a device brings with the second retry receipt of a message, since those of the server did not do."""
    keys, signed, one_time = receipt.child("keys"), receipt.child("keys", "skey"), receipt.child("keys", "key")
    if keys is None or signed is None:
        return None
    return Bundle(
        int.from_bytes(receipt.data("registration")),
        keys.data("identity"),
        int.from_bytes(signed.data("id")),
        signed.data("value"),
        int.from_bytes(one_time.data("id")) if one_time else None,
        one_time.data("value") if one_time else b"",
    )


def ask_for_more(world: World, account: Account, device: Device) -> None:
    """The notification that a device's one-time keys run out."""
    node = mail.notification(world, "encrypt", Node("count", {"value": str(device.prekeys)}))
    mail.deliver(world, (account.number, device.id), node)


async def upload(peer: Peer, linked: Linked, query: Node) -> None:
    """A device brings a signed prekey and one-time keys."""
    device = linked.device
    if (rule := peer.strike(Fault.PREKEYS_REFUSED)) is not None:
        status = rule.status or 500
        peer.refuse(query, status, refusal_text(status))
        return
    signed, keys = query.child("skey"), query.child("list")
    if query.child("rotate") is not None:
        signed = query.child("rotate", "skey")
    wrong = _wrong_upload(bytes.fromhex(device.identity_key), query, signed, keys)
    if wrong is not None or signed is None:
        peer.log(Kind.CLIENT_VIOLATION, reason=wrong)
        peer.refuse(query, 406, "not-acceptable")
        return
    device.signed_prekey = (signed.data("id") + signed.data("value") + signed.data("signature")).hex()
    fresh = [(key.data("id") + key.data("value")).hex() for key in (keys.children if keys else ())]
    device.one_time = (device.one_time + fresh)[-KEPT:]
    device.prekeys += len(fresh)
    peer.world.state.save(linked.account)
    peer.log(Kind.PREKEYS_UPLOADED, device=device.id, count=len(fresh))
    peer.answer(query)


def _wrong_upload(identity: bytes, query: Node, signed: Node | None, keys: Node | None) -> str | None:
    rotates = query.child("rotate") is not None
    if not rotates and (query.data("identity") != identity or query.data("type") != KEY_TYPE):
        return "the upload of prekeys names another identity"
    if signed is None or not verify(identity, KEY_TYPE + signed.data("value"), signed.data("signature")):
        return "the signed prekey of an upload is not signed by the identity"
    listed = keys.children if keys else ()
    if not (listed or rotates) or any(len(key.data("value")) != 32 or len(key.data("id")) != 3 for key in listed):
        return "an upload of malformed prekeys"
    return None


def _digest(peer: Peer, device: Device, query: Node) -> None:
    """A client compares what the server holds with what it has itself; 404 makes it upload."""
    signed = bytes.fromhex(device.signed_prekey)
    if not signed:
        peer.refuse(query, 404, refusal_text(404))
        return
    identity = bytes.fromhex(device.identity_key)
    kept = [bytes.fromhex(key) for key in device.one_time]
    whole = hashlib.sha1(identity + signed[3:] + b"".join(key[3:] for key in kept), usedforsecurity=False).digest()
    content = (
        Node("registration", {}, device.registration_id.to_bytes(4)),
        Node("type", {}, KEY_TYPE),
        Node("identity", {}, identity),
        key_node("skey", int.from_bytes(signed[:3]), signed[3:35], signed[35:]),
        Node("list", {}, tuple(Node("id", {}, key[:3]) for key in kept)),
        Node("hash", {}, whole),
    )
    peer.answer(query, Node("digest", {}, content))
