"""Ordinary life that the server tells of. Each act is one of emulator/life.py."""

from __future__ import annotations

import json
import os

from emulator.phone.scene import Scene, group_of, now
from emulator.server import prekeys
from emulator.wire import content
from emulator.wire.nodes import GROUP_SERVER, LID_SERVER, SERVER_JID, Jid, Node


def status_post(scene: Scene) -> None:
    """A contact posts a status; the device has no key for it."""
    writer = scene.friend()
    attrs: dict[str, str | Jid] = {"from": Jid("status", "broadcast"), "participant": Jid(writer.number), "t": now()}
    attrs |= {"participant_lid": Jid(writer.lid, LID_SERVER), "id": scene.world.next_id(), "type": "media"}
    sealed = Node("enc", {"v": "2", "type": "skmsg"}, b"\x33" + os.urandom(90))
    scene.deliver(Node("message", attrs, (sealed,)))


def call(scene: Scene) -> None:
    """Somebody calls and hangs up."""
    writer, call = Jid(scene.friend().number), os.urandom(8).hex().upper()
    about: dict[str, str | Jid] = {"call-id": call, "call-creator": writer}
    offer = Node("offer", about, (Node("audio", {"enc": "opus", "rate": "16000"}),))
    for part in (offer, Node("terminate", {**about, "reason": "timeout"})):
        attrs: dict[str, str | Jid] = {
            "from": writer,
            "id": scene.world.next_id(),
            "t": now(),
            "notify": "Bob",
            "platform": "android",
        }
        scene.deliver(Node("call", {**attrs, "version": "2.26.10"}, (part,)))


def group_notice(scene: Scene) -> None:
    """The account gets into a group, and others after it."""
    group = group_of(scene)
    address, maker = Jid(group.id, GROUP_SERVER), Jid(group.members[0])
    members = tuple(Node("participant", {"jid": Jid(number)}) for number in group.members)
    about: dict[str, str | Jid] = {
        "id": group.id,
        "creation": now(),
        "creator": maker,
        "s_t": now(),
        "s_o": maker,
        "subject": group.subject,
    }
    made = Node("create", {"type": "new", "reason": "invite", "key": "x"}, (Node("group", about, members),))
    scene.notify("w:gp2", made, origin=address, participant=maker)
    more = tuple(Node("participant", {"jid": Jid(scene.friend(number).number)}) for number in range(3, 40))
    scene.notify("w:gp2", Node("add", {}, more), origin=address, participant=maker)


def account_sync(scene: Scene) -> None:
    """Devices and privacy of the account."""
    own = Jid(scene.owner.number)
    listed = [
        Node("device", {"jid": Jid(own.user, device=one), "key-index": str(index)})
        for one, index in scene.owner.companion_ids()
    ]
    scene.notify(
        "account_sync", Node("devices", {"dhash": "2:abcdefgh"}, (Node("device", {"jid": own}), *listed)), origin=own
    )
    scene.notify("account_sync", Node("privacy", {}, (Node("category", {"name": "last", "value": "all"}),)), origin=own)


def devices(scene: Scene) -> None:
    """A contact links one more device."""
    friend = scene.friend()
    friend.companions = min(friend.companions + 1, 3)
    device, index = friend.companion_ids()[-1]
    added = (
        Node("device", {"jid": Jid(friend.number, device=device), "key-index": str(index)}),
        Node("key-index-list", {"ts": now()}),
    )
    node = Node("add", {"device_hash": "2:zzzzzzzz"}, added)
    scene.notify("devices", node, origin=Jid(friend.number), lid=Jid(friend.lid, LID_SERVER))


def identity(scene: Scene) -> None:
    """A contact moves to a new phone."""
    friend = scene.friend()
    scene.talk.reinstall(friend)
    scene.notify("encrypt", Node("identity"), origin=Jid(friend.number))


def prekeys_low(scene: Scene) -> None:
    """The device's one-time keys run out."""
    del scene.device.one_time[3:]
    scene.device.prekeys = len(scene.device.one_time)
    scene.world.state.save(scene.owner)
    prekeys.ask_for_more(scene.world, scene.owner, scene.device)


def privacy_token(scene: Scene) -> None:
    """A contact's token."""
    friend = scene.friend()
    token = Node("token", {"type": "trusted_contact", "t": now()}, os.urandom(11))
    lid = Jid(friend.lid, LID_SERVER)
    scene.notify("privacy_token", Node("tokens", {}, (token,)), origin=Jid(friend.number), sender_lid=lid)


def profile(scene: Scene) -> None:
    """A contact looks different."""
    friend = Jid(scene.friend().number)
    scene.notify("picture", Node("set", {"jid": friend, "id": "1234", "hash": "abc"}), origin=friend)
    scene.notify("status", Node("set", {}, b"on holiday"), origin=friend)
    scene.notify("business", Node("verified_name", {"jid": friend}), origin=friend)
    quiet = Node("disappearing_mode", {"duration": "86400", "t": now()})
    scene.notify("disappearing_mode", quiet, origin=friend)


def newsletter(scene: Scene) -> None:
    """A channel has news."""
    channel = Jid("120363000000000099", "newsletter")
    scene.notify("newsletter", Node("live_updates", {}, (Node("messages", {}, ()),)), origin=channel)
    attrs: dict[str, str | Jid] = {
        "from": channel,
        "id": scene.world.next_id(),
        "server_id": "7",
        "t": now(),
        "type": "text",
    }
    scene.deliver(Node("message", attrs, (Node("plaintext", {}, content.text("news")),)))


def time_lock(scene: Scene) -> None:
    """The account may write to no strangers for a while."""
    lock = {"is_active": True, "time_enforcement_ends": now(), "enforcement_type": "BIZ_QUALITY"}
    told = json.dumps({"data": {"xwa2_notify_account_reachout_timelock": lock}}).encode()
    scene.notify("mex", Node("update", {"op_name": "NotificationAccountReachoutTimelock"}, told))


def edge_routing(scene: Scene) -> None:
    """The machine to come back to."""
    scene.info(Node("edge_routing", {}, (Node("routing_info", {}, b"\x08\x02\x08\x05"),)))


def dirty(scene: Scene) -> None:
    """Something may be stale."""
    for kind in ("account_sync", "groups"):
        scene.info(Node("dirty", {"type": kind, "timestamp": now()}))


def presence(scene: Scene) -> None:
    """A contact goes, and types."""
    friend = Jid(scene.friend().number)
    scene.send(Node("presence", {"from": friend, "type": "unavailable", "last": now()}))
    scene.send(Node("chatstate", {"from": friend}, (Node("composing"),)))


def server_ping(scene: Scene) -> None:
    """The server asks whether the client is there."""
    attrs: dict[str, str | Jid] = {
        "from": SERVER_JID,
        "id": scene.world.next_id(),
        "type": "get",
        "xmlns": "urn:xmpp:ping",
    }
    scene.send(Node("iq", attrs, (Node("ping"),)))


def media_receipt(scene: Scene) -> None:
    """A receipt of a kind that neonize's message for receipts has no word for."""
    attrs: dict[str, str | Jid] = {"from": Jid(scene.owner.number), "id": scene.world.next_id(), "t": now()}
    scene.send(Node("receipt", {**attrs, "type": "server-error"}))


def odd(scene: Scene) -> None:
    """One of those; the ids are made up, so nothing waits for its acknowledgement."""
    friend, group, number = Jid(scene.friend().number), Jid("120363000000000001", GROUP_SERVER), scene.world.next_id()
    base: dict[str, str | Jid] = {"from": friend, "id": number}
    timed: dict[str, str | Jid] = {**base, "t": now()}
    rubbish = Node("enc", {"v": "2", "type": "pkmsg"}, b"\x33")
    retry = Node("retry", {"count": "1", "id": number, "t": now(), "v": "1"})
    odd = (
        Node("blorb", {"id": number}),
        Node("error", {"code": "479"}),
        Node("ack", {**timed, "class": "message", "error": "421"}),
        Node("notification", timed),
        Node("notification", {**timed, "type": "psa"}, (Node("psa"),)),
        Node("notification", {**timed, "from": group, "type": "w:gp2"}, (Node("subject"),)),
        Node("notification", {**timed, "from": SERVER_JID, "type": "mex"}, (Node("update", {"op_name": "X"}, b"{no"),)),
        Node(
            "notification",
            {**timed, "type": "mediaretry"},
            (Node("rmr", {"jid": friend}), Node("error", {"code": "2"})),
        ),
        Node("receipt", {**timed, "type": "read"}),
        Node("receipt", {**timed, "type": "retry"}, (retry, Node("registration", {}, bytes(4)))),
        Node("message", timed, ()),
        Node("message", base, (rubbish,)),
        Node("message", {**timed, "type": "text"}, (Node("unavailable", {"type": "view_once"}),)),
        Node("message", {**timed, "type": "text"}, (rubbish,)),
        Node("ib", {"from": SERVER_JID}, (Node("thread_metadata", {}, (Node("item", {}, b"1"),)),)),
    )
    scene.send(scene.dice.choice(odd))
