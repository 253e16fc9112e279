"""Ordinary life that phones write: the owner's to its device, contacts to the owner. Each act is one of emulator/life.py."""

from __future__ import annotations

from emulator.phone.scene import Scene, group_of
from emulator.server import media
from emulator.server.state import now_ms
from emulator.server.world import Status
from emulator.wire import content, history
from emulator.wire import protobuf as wire
from emulator.wire.app_state import Collection, StateKey, contact
from emulator.wire.nodes import Node

_CONTACTS = "critical_unblock_low"


def pour_history(scene: Scene) -> None:
    """The phone pours its chats into the device."""
    each = max(1, scene.messages // max(1, scene.chats))
    chats = [history.Chat(one.number, one.lid, one.name, each) for one in scene.friends()]
    for order, (kind, chunk) in enumerate(history.chunks(chats, now_ms() // 1000), 1):
        told, file = history.notice(kind, order, chunk)
        media.keep(scene.world, file)
        scene.talk.tell(scene.owner, scene.device, told)


def app_state(scene: Scene) -> None:
    """The phone shares its key, and the address book grows."""
    held = scene.world.app_state.setdefault(scene.owner.number, {})
    book = held.setdefault(_CONTACTS, Collection(_CONTACTS, StateKey.generate()))
    first = 1000 * book.version
    entries = [scene.friend(first + number) for number in range(max(1, scene.chats))]
    book.add([contact(one.number, one.lid, one.name, now_ms()) for one in entries])
    scene.talk.tell(scene.owner, scene.device, book.key.share(now_ms()))
    scene.notify("server_sync", Node("collection", {"name": _CONTACTS, "version": str(book.version)}))


def lid_migration(scene: Scene) -> None:
    """The phone tells the lids of its contacts."""
    pairs = [wire.write({1: int(one.number), 2: int(one.lid)}) for one in scene.friends()]
    told = wire.write({1: pairs, 2: now_ms() // 1000})
    scene.talk.tell(scene.owner, scene.device, wire.write({12: wire.write({2: 22, 23: wire.write({1: told})})}))


def backlog(scene: Scene) -> None:
    """Let messages wait until the next login, which hands them over. So the connection ends first."""
    peer = scene.world.online.get((scene.owner.number, scene.device.id))
    if peer is not None and peer.status is Status.ONLINE:
        peer.cut("the device goes away for a moment")
    for number in range(scene.messages):
        writer = scene.friend()
        scene.talk.say(writer, scene.owner, content.text(f"while you were away {number}"))


def inbound_text(scene: Scene) -> None:
    """Somebody writes."""
    scene.talk.say(scene.friend(), scene.owner, content.text("Hello, are you open?"), lid=scene.dice.random() < 0.5)


def inbound_media(scene: Scene) -> None:
    """Somebody sends a picture and the like."""
    kind = scene.dice.choice(("image", "document", "audio", "video", "sticker", "location"))
    plain = content.location(55.75, 37.62) if kind == "location" else content.media(kind, "look")
    scene.talk.say(scene.friend(), scene.owner, plain, kind="media")


def reaction(scene: Scene) -> None:
    """Somebody reacts to a text."""
    writer = scene.friend()
    first = scene.talk.say(writer, scene.owner, content.text("See you"))
    plain = content.reaction(f"{writer.number}@s.whatsapp.net", first, "👍", now_ms())
    scene.talk.say(writer, scene.owner, plain, kind="reaction")


def edited_text(scene: Scene) -> None:
    """Somebody changes a text."""
    writer = scene.friend()
    first = scene.talk.say(writer, scene.owner, content.text("at five"))
    scene.talk.say(
        writer, scene.owner, content.edit(f"{writer.number}@s.whatsapp.net", first, "at six", now_ms()), edit="1"
    )


def deletion(scene: Scene) -> None:
    """Somebody deletes a text."""
    writer = scene.friend()
    first = scene.talk.say(writer, scene.owner, content.text("wrong chat"))
    scene.talk.say(writer, scene.owner, content.deletion(f"{writer.number}@s.whatsapp.net", first), edit="7")


def own_text(scene: Scene) -> None:
    """The owner writes on the phone."""
    scene.talk.say(scene.owner, scene.friend(), content.text("I am on my way"))


def group_text(scene: Scene) -> None:
    """A member writes to the group."""
    scene.talk.say_in(scene.friend(1), group_of(scene), content.text("Who has the key?"))


def unreadable(scene: Scene) -> None:
    """Sealed for a session that the device never had: it asks for it again, and our phone seals it anew."""
    scene.talk.say_garbled(scene.friend(), scene.owner, scene.device, content.text("once more"))
