"""Asks WhatsApp about the receivers of a session's texts, before the turn of their texts.

A session has one question under way at a time, about all receivers that wait. If the answer does not come in time, the
text is sent to the number as it was written, and WhatsApp decides.
"""

import asyncio
import secrets
import time
from collections.abc import Iterable, Sequence

from shared.core.datum import replace
from shared.core.ids import SessionId
from shared.state.contacts import Contact, Contacts, candidates
from workers.engine import protocol as pipe
from workers.holding.holders import Holders

AT_ONCE = 50
"""Receivers in one question."""
LOOK_SECONDS = 15.0
"""The wait for an answer."""
REMEMBERED_SECONDS = 24 * 3600.0
UNANSWERED_SECONDS = 60.0
"""A receiver of whom WhatsApp has said nothing is asked about again after this time."""
MOST = 2000
"""So many receivers of a session are remembered here; Redis knows more."""


def choose(to: str, people: Iterable[pipe.Person]) -> Contact:
    """Choose the account of a receiver by what WhatsApp says of its numbers. The number that was written goes first."""
    said = {one.number: one for one in people}
    found = [said[name] for name in candidates(to) if name in said]
    for one in found:
        if one.exists:
            return Contact(True, one.account or one.number, one.lid, one.known)
    sure = bool(found) and all(one.exists is False for one in found)
    return Contact(False if sure else None, known=any(one.known for one in found))


class People:
    """The receivers of one session's texts."""

    def __init__(self, session: SessionId, contacts: Contacts, holders: Holders) -> None:
        self._session = session
        self._contacts = contacts
        self._holders = holders
        self._known: dict[str, tuple[Contact, float]] = {}  # and until when
        self._fresh: dict[str, Contact] = {}  # to be kept in Redis yet
        self._question = ""
        self._about: Sequence[str] = ()
        self._until = 0.0
        self.changed = asyncio.Event()

    def of(self, to: str) -> Contact | None:
        """The contact of a receiver; None while WhatsApp is being asked, or was not asked yet."""
        contact, until = self._known.get(to, (None, 0.0))
        return contact if time.monotonic() < until else None

    @property
    def patience(self) -> float:
        """Seconds left for the answer to the question under way."""
        return max(0.01, self._until - time.monotonic())

    async def look(self, receivers: Sequence[str]) -> None:
        """Ask about those of whom nothing is known, unless a question is under way."""
        await self._keep()
        if self._question:
            if time.monotonic() < self._until:
                return
            self._answered({to: Contact(None) for to in self._about})
        wanted = [to for to in dict.fromkeys(receivers) if self.of(to) is None]
        if not wanted:
            return
        self._answered({to: Contact(None, known=True) for to in wanted if not candidates(to)})
        self._answered(await self._contacts.known(self._session, wanted))
        about = [to for to in wanted if self.of(to) is None][:AT_ONCE]
        if not about or self._question:
            return
        self._about, self._question = about, secrets.token_hex(8)
        self._until = time.monotonic() + LOOK_SECONDS
        numbers = list(dict.fromkeys(name for to in about for name in candidates(to)))
        order = pipe.Look(session=self._session, question=self._question, numbers=numbers)
        if not await self._holders.send(self._session, order):
            self.forget()

    def heard(self, event: pipe.Looked) -> None:
        if event.question != self._question:
            return
        self._question = ""
        found = {to: choose(to, event.people) for to in self._about}
        self._answered(found)
        self._fresh |= found

    def met(self, to: str) -> None:
        """Remember that the receiver has got a text of the session: the next one is no first contact."""
        contact = self.of(to)
        if contact is not None and not contact.known:
            contact = replace(contact, known=True)
            self._answered({to: contact})
            self._fresh[to] = contact

    def forget(self) -> None:
        """Ask anew when there is a connection again: the answer to the last question went with the old one."""
        self._question = ""
        self.changed.set()

    def _answered(self, found: dict[str, Contact]) -> None:
        now = time.monotonic()
        if len(self._known) > MOST:
            self._known.clear()
        for to, contact in found.items():
            sure = contact.exists is not None or not candidates(to)
            self._known[to] = contact, now + (REMEMBERED_SECONDS if sure else UNANSWERED_SECONDS)
        if found:
            self.changed.set()

    async def _keep(self) -> None:
        while self._fresh:
            to, contact = next(iter(self._fresh.items()))
            await self._contacts.keep(self._session, to, contact)
            if self._fresh.get(to) is contact:
                del self._fresh[to]
