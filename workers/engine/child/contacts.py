"""Questions about people, asked of WhatsApp before a text is sent to them.

The answers also fill the library's own caches (the LID, the devices), which saves a text to somebody new two round trips.
The text itself fetches the keys of the devices: neonize cannot ask for them.
"""

import asyncio
import re
from collections.abc import Awaitable
from typing import TYPE_CHECKING, TypeVar

from workers.engine.child.happenings import ClientError
from workers.engine.protocol import Person

if TYPE_CHECKING:
    from workers.engine.child.client import Client

LID_SERVER = "lid"

T = TypeVar("T")


async def look(client: "Client", numbers: list[str], own: str) -> list[Person]:
    """WhatsApp's answers about E.164 `numbers`, for the account `own`. Without an answer a person has `exists=None`."""
    known = {number: await _quiet(client.lid_of(number), "") for number in numbers}
    new = [number for number in numbers if not known[number]]
    answers, _ = await asyncio.gather(
        _quiet(client.on_whatsapp(numbers), []), _quiet(client.learn(new) if new else asyncio.sleep(0), None)
    )
    said = {_digits(asked): (jid, there) for asked, jid, there in answers}
    people = []
    for number in numbers:
        jid, there = said.get(_digits(number), ("", None))
        people.append(await _person(client, number, jid, there, known=bool(known[number])))
    if lids := [one.lid for one in people if one.lid]:
        # A text goes to our own other devices as well.
        await _quiet(client.devices([*lids, *filter(None, [await _quiet(client.lid_of(own), "")])]), 0)
    return people


async def _person(client: "Client", number: str, jid: str, there: bool | None, *, known: bool) -> Person:
    if there is False:
        return Person(number=number, exists=False, known=known)
    if jid.endswith(f"@{LID_SERVER}"):
        account, lid = await _quiet(client.number_of(jid), "") or number, jid
    else:
        account = f"+{_digits(jid)}" if jid else number
        lid = await _quiet(client.lid_of(account), "")
        if not lid and there:
            await _quiet(client.learn([account]), None)
            lid = await _quiet(client.lid_of(account), "")
    # The server may know a number that it does not answer for: who has a LID is there.
    return Person(
        number=number, exists=there or (True if lid else None), account=f"+{_digits(account)}", lid=lid, known=known
    )


def _digits(text: str) -> str:
    return re.sub(r"\D", "", text.partition("@")[0].partition(":")[0])


async def _quiet(call: Awaitable[T], otherwise: T) -> T:
    try:
        return await call
    except ClientError:
        return otherwise
