"""Directory of people on WhatsApp: the answer to usync, which asks for numbers, their devices and their lids.

A number may be written differently from the account's own (Brazil's ninth digit, Mexico's 1): `also` of an account. Source: whatsmeow user.go.
"""

from __future__ import annotations

from collections.abc import Callable

from emulator.faults import Fault, Step, refusal_text
from emulator.server.state import Account
from emulator.server.world import Group, Linked, Peer
from emulator.wire.nodes import GROUP_SERVER, LID_SERVER, SERVER, Jid, Node


def account_at(peer: Peer, jid: Jid | None) -> Account | None:
    """The account behind an address; None for a lid that nobody has, a group and the like."""
    state = peer.world.state
    if jid is None:
        return None
    if jid.server == LID_SERVER:
        return state.by_lid(jid.user)
    return state.account(jid.user) if jid.server == SERVER and jid.user.isdigit() else None


def group_address(group: Group) -> Jid:
    """The group's own address."""
    return Jid(group.id, GROUP_SERVER)


def _devices(account: Account, _: str) -> Node:
    phone = Node("device", {"id": "0"})
    others = [Node("device", {"id": str(device), "key-index": str(index)}) for device, index in account.companion_ids()]
    return Node("devices", {}, (Node("device-list", {}, (phone, *others)),))


def _lid(account: Account, _: str) -> Node:
    return Node("lid", {"val": Jid(account.lid, LID_SERVER)})


def _contact(account: Account, asked: str) -> Node:
    return Node("contact", {"type": "in" if account.on_whatsapp else "out"}, asked.encode() or None)


def _status(account: Account, _: str) -> Node:
    return Node("status", {"t": "1700000000"}, f"{account.name} is busy".encode())


def _business(account: Account, _: str) -> Node:
    return Node("business", {}, ()) if not account.business_name else Node("business", {}, (Node("profile"),))


_PROTOCOLS: dict[str, Callable[[Account, str], Node]] = {
    "devices": _devices,
    "lid": _lid,
    "contact": _contact,
    "status": _status,
    "business": _business,
}
"""Questions about a number, by their names. Others (picture, disappearing_mode) are left unanswered, as by default."""
_OF_MEMBERS = frozenset(_PROTOCOLS) - {"contact"}
"""Questions that only accounts of WhatsApp have an answer to."""


async def answer(peer: Peer, _: Linked, query: Node) -> None:
    """A usync query."""
    if (rule := peer.strike(Fault.USYNC_REFUSED)) is not None:
        status = rule.status or 429
        peer.refuse(query, status, refusal_text(status))
        return
    if not await peer.passes(Step.USYNC):
        return
    usync = query.child("usync")
    asked = usync.child("query") if usync else None
    wanted = query.child("usync", "list")
    names = [node.tag for node in asked.children] if asked else []
    users = [_user(peer, user, names) for user in (wanted.children if wanted else ())]
    attrs = dict(usync.attrs) if usync else {}
    results = Node("result", {}, tuple(Node(name) for name in names))
    listed = Node("list", {}, tuple(user for user in users if user is not None))
    peer.answer(query, Node("usync", attrs, (results, listed)))


def _user(peer: Peer, user: Node, names: list[str]) -> Node | None:
    words = user.data("contact").decode(errors="replace")
    number = words.removeprefix("+").partition("@")[0]  # whatsmeow asks for 7900…@c.us, Baileys for +7900…
    jid = Jid(number) if number.isdigit() else user.jid("jid")
    account = account_at(peer, jid)
    if account is None:
        return None
    own = Jid(account.lid, LID_SERVER) if jid is not None and jid.server == LID_SERVER else Jid(account.number)
    names = [name for name in names if name in _PROTOCOLS and (account.on_whatsapp or name not in _OF_MEMBERS)]
    return Node("user", {"jid": own}, tuple(_PROTOCOLS[name](account, words) for name in names))
