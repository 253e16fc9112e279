"""The phones as those who write and read: they open what linked devices send, say that they got it, and write to linked devices.

One object for all phones of a world (world.Phones). A phone's sessions live in memory: after a restart of the emulator it asks for what it
cannot open again, by a retry receipt, as a real one does.

Sessions, receipts and retries are one conversation, hence one file.
"""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from dataclasses import dataclass, replace

from emulator.events import Kind
from emulator.faults import DEFAULT_DELAY, Fault
from emulator.server import mail, prekeys
from emulator.server.directory import account_at
from emulator.server.state import PHONES_PREKEY_ID, Account, Device, now_ms
from emulator.server.world import Group, Linked, Opened, Peer, ReceivedMessage, World
from emulator.wire import content
from emulator.wire.nodes import GROUP_SERVER, LID_SERVER, Jid, Node
from emulator.wire.payload import KEY_TYPE
from emulator.wire.sender_keys import OwnSenderKey, TheirSenderKey
from emulator.wire.signal import CannotOpen, PrekeyMessage, Session

_MOST_SESSIONS = 4
_MOST_SENT = 10_000
_MOST_RETRIES = 5
_RECEIPTS = {"none": (), "delivered": ("",), "read": ("", "read"), "played": ("", "read", "played")}
"""Receipts of a phone for a message that it got; "" is the kind of a receipt of delivery."""


class NotOpened(CannotOpen):
    """The message belongs to a session that the phone does not have (any more)."""


@dataclass(frozen=True, slots=True)
class _Sent:
    """A message of a phone, kept because a device may ask for it again. `again`: the form that it gets then, if another."""

    writer: Account
    plain: bytes
    attrs: dict[str, str | Jid]
    again: bytes = b""


class Talk:
    """See above."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._sessions: dict[tuple[str, str, int], list[Session]] = {}
        self._moved: set[str] = set()  # to a new phone, with new keys
        self._own_keys: dict[tuple[str, str], OwnSenderKey] = {}
        self._their_keys: dict[tuple[str, str, str, int], TheirSenderKey] = {}
        self._knows_key: set[tuple[str, str, str, int]] = set()
        self._sent: OrderedDict[tuple[str, str, str, int], _Sent] = OrderedDict()

    # -- reading ------------------------------------------------------------------------------------------------------

    def take(self, peer: Peer, linked: Linked, node: Node) -> list[Opened]:
        """Opens a message for every phone that it is for; what cannot be opened is an event."""
        participants, shared, to = node.child("participants"), node.child("enc"), node.jid("to")
        group = to.user if to is not None and to.server == GROUP_SERVER else None
        parts = [(part.jid("jid"), part.child("enc")) for part in (participants.children if participants else ())]
        if participants is None and group is None:
            parts = [(to if node.attr("category") != "peer" else Jid(linked.account.number), shared)]
        if group is not None and participants is None:
            others = [number for number in self._world.groups[group].members if number != linked.account.number]
            parts = [(Jid(number), None) for number in others]
        opened = []
        for jid, sealed in parts:
            account = account_at(peer, jid)
            if account is None or jid is None or jid.device or (account is linked.account and group is not None):
                continue
            try:
                plain = self._open(account, linked, sealed) if sealed is not None else b""
                if group is not None and shared is not None:
                    plain = self._open_shared(account, linked, group, plain, shared)
            except NotOpened as error:
                peer.log(Kind.MESSAGE_UNREADABLE, message_id=node.attr("id"), reader=account.number, reason=str(error))
                opened.append(Opened(account, None, lost=True))
            except CannotOpen as error:
                peer.log(Kind.CLIENT_VIOLATION, reason=f"a message that cannot be opened: {error}")
            else:
                own = account is linked.account
                opened.append(Opened(account, None if own else content.read(plain), own=own))
        return opened

    def _open(self, reader: Account, linked: Linked, sealed: Node) -> bytes:
        sessions = self._sessions.setdefault((reader.number, *linked.key), [])
        if sealed.attr("type") == "pkmsg":
            first = PrekeyMessage.parse(sealed.data())
            session = next((one for one in sessions if one.base == first.base), None)
            plain_session = session or Session.accept(reader.identity, reader.signed_prekey, first)
            try:
                plain = plain_session.open(first.sealed)
            except CannotOpen:
                if reader.number not in self._moved:
                    raise
                raise NotOpened("it is sealed for an earlier phone of the number") from None
            self._promote(sessions, plain_session)
            return plain
        for session in tuple(sessions):
            try:
                plain = session.open(sealed.data())
            except CannotOpen:
                continue
            self._promote(sessions, session)
            return plain
        raise NotOpened(f"none of {len(sessions)} sessions opens it")

    @staticmethod
    def _promote(sessions: list[Session], used: Session) -> None:
        """The session that worked last is the one in which to answer."""
        sessions[:] = [used, *(one for one in sessions if one is not used)][:_MOST_SESSIONS]

    def _open_shared(self, reader: Account, linked: Linked, group: str, told: bytes, shared: Node) -> bytes:
        place = (reader.number, group, *linked.key)
        if distribution := content.sender_key_of(told):
            self._their_keys[place] = TheirSenderKey.parse(distribution)
        key = self._their_keys.get(place)
        if key is None:
            raise NotOpened("the sender key was never told")
        return key.open(shared.data())

    # -- receipts -----------------------------------------------------------------------------------------------------

    def answer(self, peer: Peer, linked: Linked, node: Node, opened: list[Opened]) -> None:
        """Send the phones' receipts for a message after the server has acknowledged it."""
        for one in opened:
            if not one.own and node.attr("category") != "peer":
                peer.spawn(self._answer(peer, linked, node, one))

    async def _answer(self, peer: Peer, linked: Linked, node: Node, one: Opened) -> None:
        reader = one.reader
        if one.lost or peer.strike_for(Fault.RETRY_RECEIPT, reader.number) is not None:
            self._send_receipt(linked, node, reader, "retry", *self._retry(reader, node.attr("id")))
            return
        if peer.strike_for(Fault.RECEIPT_SILENCE, reader.number) is not None:
            return
        if (rule := peer.strike_for(Fault.RECEIPT_LATE, reader.number)) is not None:
            await asyncio.sleep(DEFAULT_DELAY if rule.delay is None else rule.delay)
        for kind in _RECEIPTS[reader.receipts]:
            self._send_receipt(linked, node, reader, kind)

    def _send_receipt(self, linked: Linked, node: Node, reader: Account, kind: str, *inside: Node) -> None:
        to, message_id = node.jid("to") or Jid(reader.number), node.attr("id")
        attrs: dict[str, str | Jid] = {"from": Jid(to.user, to.server), "id": message_id, "t": str(now_ms() // 1000)}
        if kind:
            attrs["type"] = kind
        if to.server == GROUP_SERVER:
            attrs["participant"] = Jid(reader.number)
        self._world.events.add(
            Kind.RECEIPT_SENT,
            phone=linked.account.number,
            message_id=message_id,
            type=kind or "delivered",
            by=reader.number,
        )
        mail.deliver(self._world, linked.key, Node("receipt", attrs, inside or None))

    def receipt(self, reader: Account, message: ReceivedMessage, kind: str) -> None:
        """The phone says later what became of a message: delivered, read, played, retry."""
        owner = self._world.state.account(message.phone)
        device = owner.devices.get(message.device)
        if device is None:
            return
        user, _, server = message.to.partition("@")
        to = Jid(user, server) if server else Jid(reader.lid, LID_SERVER)
        node = Node("message", {"to": to, "id": message.message_id})
        inside = self._retry(reader, message.message_id) if kind == "retry" else ()
        self._send_receipt(Linked(owner, device), node, reader, "" if kind == "delivered" else kind, *inside)

    def _retry(self, reader: Account, message_id: str) -> tuple[Node, ...]:
        """The inside of a retry receipt: which message, and by which keys to seal it anew."""
        signed = reader.signed_prekey.public
        signature = reader.identity.sign(KEY_TYPE + signed)
        keys = (
            Node("type", {}, KEY_TYPE),
            Node("identity", {}, reader.identity.public),
            prekeys.key_node("skey", PHONES_PREKEY_ID, signed, signature),
        )
        retry = Node("retry", {"count": "1", "id": message_id, "t": str(now_ms() // 1000), "v": "1"})
        return retry, Node("registration", {}, reader.registration_id.to_bytes(4)), Node("keys", {}, keys)

    def hear(self, peer: Peer, linked: Linked, node: Node) -> None:
        """A receipt that a linked device sent for what a phone wrote to it."""
        kind, message_id, to = node.attr("type"), node.attr("id"), node.jid("to")
        account = account_at(peer, node.jid("participant") or to)
        by = account.number if account else str(to)
        peer.log(Kind.RECEIPT_RECEIVED, message_id=message_id, type=kind or "delivered", to=by)
        retry = node.child("retry")
        if kind != "retry" or retry is None or account is None:
            return
        sent = self._sent.get((account.number, message_id, *linked.key))
        if sent is None or int(retry.attr("count") or 1) > _MOST_RETRIES:
            return
        self._sessions.pop((account.number, *linked.key), None)
        if (bundle := prekeys.brought_by(node)) is not None:
            session = Session.begin(account.identity, account.registration_id, bundle)
            self._sessions[account.number, *linked.key] = [session]
        self._deliver(replace(sent, plain=sent.again or sent.plain), linked.account, linked.device, message_id)
        peer.log(Kind.MESSAGE_SENT_AGAIN, message_id=message_id, by=account.number)

    # -- writing ------------------------------------------------------------------------------------------------------

    def say(
        self,
        writer: Account,
        to: Account,
        plain: bytes,
        *,
        kind: str = "text",
        edit: str = "",
        message_id: str = "",
        lid: bool = True,
    ) -> str:
        """A phone writes to a number: its linked devices get it, and those of the writer a copy. The message's id."""
        message_id = message_id or _new_id()
        number, hidden = Jid(writer.number), Jid(writer.lid, LID_SERVER)
        origin = {"from": hidden, "sender_pn": number} if lid else {"from": number, "sender_lid": hidden}
        attrs: dict[str, str | Jid] = {**origin, "notify": writer.name, "type": kind, "edit": edit}
        for device in to.devices.values():
            self._deliver(_Sent(writer, plain, attrs), to, device, message_id)
        copy = content.sent_elsewhere(str(number if to is writer else Jid(to.number)), plain)
        own: dict[str, str | Jid] = {"from": number, "recipient": Jid(to.number), "type": kind, "edit": edit}
        for device in writer.devices.values() if to is not writer else ():
            self._deliver(_Sent(writer, copy, own), writer, device, message_id)
        return message_id

    def say_garbled(self, writer: Account, to: Account, device: Device, plain: bytes) -> str:
        """A text that the device cannot open; when it asks for it again, it gets it whole. The message's id."""
        message_id = _new_id()
        attrs: dict[str, str | Jid] = {
            "from": Jid(writer.lid, LID_SERVER),
            "sender_pn": Jid(writer.number),
            "type": "text",
        }
        self._sent[writer.number, message_id, to.number, device.id] = _Sent(writer, plain, attrs)
        node = Node("enc", {"v": "2", "type": "msg"}, os.urandom(80))
        stanza = Node("message", {**attrs, "id": message_id, "t": str(now_ms() // 1000)}, (node,))
        mail.deliver(self._world, (to.number, device.id), stanza)
        return message_id

    def reinstall(self, account: Account, *, told: bool = False) -> int:
        """The account moves to a new phone: new keys, no session of the old one. `told`: linked devices that had one
        hear of it; how many."""
        self._moved.add(account.number)
        account.identity_seed, account.signed_prekey_seed = os.urandom(32).hex(), os.urandom(32).hex()
        self._world.state.save(account)
        gone = [key for key in self._sessions if key[0] == account.number]
        for key in gone:
            del self._sessions[key]
            if told:
                notice = mail.notification(self._world, "encrypt", Node("identity"), origin=Jid(account.number))
                mail.deliver(self._world, key[1:], notice)
        self._own_keys = {key: value for key, value in self._own_keys.items() if key[0] != account.number}
        self._knows_key = {key for key in self._knows_key if key[0] != account.number}
        return len(gone) if told else 0

    def say_in(self, writer: Account, group: Group, plain: bytes, *, kind: str = "text", edit: str = "") -> str:
        """A member's phone writes to a group: the linked devices of all members get it. The message's id.

        A device is told the writer's sender key once, with the first message. If it asks for a message again, it gets it
        sealed for itself alone, and the key with it.
        """
        message_id, address = _new_id(), Jid(group.id, GROUP_SERVER)
        key = self._own_keys.setdefault((writer.number, group.id), OwnSenderKey.generate())
        told = content.with_sender_key(str(address), key.distribution())
        shared = Node("enc", {"v": "2", "type": "skmsg"}, key.seal(plain))
        attrs: dict[str, str | Jid] = {"from": address, "participant": Jid(writer.number), "notify": writer.name}
        attrs |= {"participant_lid": Jid(writer.lid, LID_SERVER), "type": kind, "edit": edit, "addressing_mode": "pn"}
        for member in map(self._world.state.account, group.members):
            for device in member.devices.values():
                place = (writer.number, group.id, member.number, device.id)
                sent = _Sent(writer, b"" if place in self._knows_key else told, attrs, again=told + plain)
                if self._deliver(sent, member, device, message_id, shared):
                    self._knows_key.add(place)
        return message_id

    def tell(self, owner: Account, device: Device, plain: bytes) -> str:
        """The owner's phone tells one of its devices something that is no message (history, keys). The id."""
        message_id = _new_id()
        attrs: dict[str, str | Jid] = {"from": Jid(owner.number), "type": "text", "category": "peer"}
        self._deliver(_Sent(owner, plain, attrs), owner, device, message_id)
        return message_id

    def _deliver(self, sent: _Sent, owner: Account, device: Device, message_id: str, *more: Node) -> bool:
        """Seal `sent.plain`, if there is any, for the device and hand it over with `more`; False if there is no way to it."""
        writer = sent.writer
        if sent.plain:
            sessions = self._sessions.setdefault((writer.number, owner.number, device.id), [])
            if not sessions:
                bundle = prekeys.take_bundle(self._world, owner, device)
                if bundle is None:
                    return False  # it has brought no keys yet: the real server knows no way to it either
                sessions.append(Session.begin(writer.identity, writer.registration_id, bundle))
            kind, sealed = sessions[0].seal(sent.plain)
            more = (Node("enc", {"v": "2", "type": kind}, sealed), *more)
        attrs = {**sent.attrs, "id": message_id, "t": str(now_ms() // 1000)}
        node = Node("message", attrs, more)
        self._sent[writer.number, message_id, owner.number, device.id] = sent
        while len(self._sent) > _MOST_SENT:
            self._sent.popitem(last=False)
        mail.deliver(self._world, (owner.number, device.id), node)
        return True

    def forget(self, number: str, device: int | None = None) -> None:
        """Sessions with a number's devices (or one of them) are gone: it has a new identity, or was unlinked."""
        for key in [key for key in self._sessions if key[1] == number and device in (None, key[2])]:
            del self._sessions[key]
        self._knows_key = {key for key in self._knows_key if key[2] != number or device not in (None, key[3])}


def _new_id() -> str:
    return "3EB0" + os.urandom(9).hex().upper()
