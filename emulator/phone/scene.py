"""To whom something of ordinary life happens, and by which means."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from emulator.phone.talk import Talk
from emulator.server import mail
from emulator.server.state import Account, Device, now_ms
from emulator.server.world import Group, World
from emulator.wire.nodes import SERVER_JID, Jid, Node


@dataclass(frozen=True, slots=True)
class Scene:
    """To whom it happens, and how much of it: `messages` and `chats` are for history, backlog and the address book."""

    world: World
    talk: Talk
    owner: Account
    device: Device
    dice: random.Random
    messages: int = 20
    chats: int = 5

    def friend(self, number: int | None = None) -> Account:
        """A contact."""
        chosen = self.dice.randrange(50) if number is None else number
        return self.world.state.account(f"7955{chosen:07}")

    def friends(self) -> Iterator[Account]:
        """As many contacts as there shall be chats."""
        return (self.friend(number) for number in range(self.chats))

    def deliver(self, node: Node) -> None:
        """Sends what the device must acknowledge."""
        mail.deliver(self.world, (self.owner.number, self.device.id), node)

    def send(self, node: Node) -> None:
        """Sends what only one who is there gets."""
        peer = self.world.online.get((self.owner.number, self.device.id))
        if peer is not None:
            peer.send(node)

    def notify(self, kind: str, *inside: Node, origin: Jid = SERVER_JID, **attrs: str | Jid) -> None:
        """Sends a notification."""
        self.deliver(mail.notification(self.world, kind, *inside, origin=origin, **attrs))

    def info(self, *inside: Node) -> None:
        """Sends an `ib`."""
        self.send(Node("ib", {"from": SERVER_JID}, inside))


def now() -> str:
    """This second, as stanzas tell it."""
    return str(now_ms() // 1000)


def group_of(scene: Scene) -> Group:
    """The group that the account and two contacts are in."""
    members = (scene.friend(1).number, scene.owner.number, scene.friend(2).number)
    name = f"120363{int(scene.owner.number) % 10**12:012}"
    return scene.world.groups.setdefault(name, Group(name, "Neighbours", members, now_ms() // 1000))
