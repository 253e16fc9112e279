"""Numbers on WhatsApp and their account names: WhatsApp's answers, kept for a day.

A number may have two names (Brazil's ninth digit, Mexico's 1), and only WhatsApp knows the account's. Redis holds no phone
for that day: keys are HMACs under SECRET_KEY, and a value names the account by its place among the number's own readings.
A question from outside has a ticket in `wa:subject`, with number and answer, for a minute.
"""

import hmac
import re
import secrets
from collections.abc import Sequence

import orjson
from pydantic import SecretStr
from redis.asyncio import Redis

from shared.core import keys, odd, phone
from shared.core.datum import Datum
from shared.core.ids import SessionId
from shared.state.pool import OverRedis, answer

_NUMBER_JID = re.compile(r"(\d{5,20})@s\.whatsapp\.net")
TICKET_TTL = 1 * keys.MINUTE


class Contact(Datum):
    """WhatsApp's answer about a number. `exists`: None if it did not say; `account`: E.164 of the account's name.

    `known`: this session knew the person before it was asked.
    """

    exists: bool | None
    account: str = ""
    lid: str = ""
    known: bool = False


def candidates(to: str) -> tuple[str, ...]:
    """E.164 numbers that may be the receiver's account, the written one first. None for a LID and a group."""
    if found := _NUMBER_JID.fullmatch(to):
        return (f"+{found[1]}",)
    if "@" in to:
        return ()
    return (to, *(one for one in phone.variants(to) if one != to))


class Contacts(OverRedis):
    def __init__(self, redis: Redis, secret: SecretStr) -> None:
        super().__init__(redis)
        self._secret = secret.get_secret_value().encode()

    def _key(self, session: SessionId, to: str) -> str:
        return keys.contact(session, hmac.digest(self._secret, f"contact:{session}:{to}".encode(), "sha256").hex()[:32])

    async def known(self, session: SessionId, receivers: Sequence[str]) -> dict[str, Contact]:
        """Answers of the last day."""
        if not receivers:
            return {}
        found = await self._redis.mget([self._key(session, to) for to in receivers])
        return {to: _read(to, value) for to, value in zip(receivers, found, strict=True) if value}

    async def keep(self, session: SessionId, to: str, contact: Contact) -> None:
        """Remember an answer for a day, if WhatsApp gave one."""
        names = candidates(to)
        if contact.exists is None or (contact.exists and contact.account not in names):
            return
        value = {"exists": contact.exists, "lid": contact.lid, "known": contact.known}
        if contact.exists:
            value["account"] = names.index(contact.account)
        await self._redis.set(self._key(session, to), orjson.dumps(value), px=keys.DAY)

    async def ask(self, session: SessionId, to: str) -> str:
        """Ask the worker that holds the session. Returns the ticket under which the answer will be."""
        ticket = secrets.token_hex(8)
        await self._keep(keys.text(session, ticket), {"to": to}, TICKET_TTL)
        return ticket

    async def asked(self, session: SessionId, ticket: str) -> str | None:
        """The number behind a ticket; None if nobody waits any more."""
        (to,) = await answer(self._redis.hmget(keys.text(session, ticket), ["to"]))
        return odd.text(to) or None

    async def reply(self, session: SessionId, ticket: str, contact: Contact) -> None:
        """Answer a question under its ticket."""
        value = [contact.exists, contact.account, contact.lid, contact.known]
        await self._keep(keys.text(session, ticket), {"answer": orjson.dumps(value).decode()}, TICKET_TTL)

    async def replied(self, session: SessionId, ticket: str) -> Contact | None:
        (value,) = await answer(self._redis.hmget(keys.text(session, ticket), ["answer"]))
        return _replied(value) if value else None


def _replied(value: bytes) -> Contact:
    """The answer under a ticket; an empty one if somebody has tampered with it."""
    try:
        exists, account, lid, known = orjson.loads(value)
    except (ValueError, TypeError):
        return Contact(None)
    return Contact(exists if isinstance(exists, bool) else None, str(account), str(lid), known is True)


def _read(to: str, value: bytes) -> Contact:
    """A kept answer; an empty one if somebody has tampered with it."""
    try:
        kept = orjson.loads(value)
        account = candidates(to)[kept["account"]] if kept["exists"] else ""
        return Contact(bool(kept["exists"]), account, str(kept["lid"]), bool(kept["known"]))
    except (ValueError, LookupError, TypeError):
        return Contact(None)
