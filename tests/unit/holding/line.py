"""A worker's held session with an outbox: the texts that it hands to its holder, and what is told of each."""

import asyncio

from shared.state.outbox import Message
from tests.unit.holding.house import SESSION, FakeHolders, House
from workers.engine import protocol as pipe

TO = "+79001234567"


class Holder(FakeHolders):
    """Answers questions about people at once, unless it is `silent`; texts are answered by the test."""

    def __init__(self):
        super().__init__()
        self.silent, self.nobody, self.accounts = False, set(), {}

    async def send(self, session, order):
        told = await super().send(session, order)
        if isinstance(order, pipe.Look) and told and not self.silent:
            people = [self.person(number) for number in order.numbers]
            await self.hear(pipe.Looked(session=session, question=order.question, people=people))
        return told

    def person(self, number):
        there = number not in self.nobody
        account = self.accounts.get(number, number)
        return pipe.Person(number=number, exists=there, account=account, lid="9@lid" if there else "")


class Line(House):
    """A session whose holder is asked for each text by the test."""

    HOLDERS = Holder

    @property
    def asked(self):
        return [one.numbers for one in self.holders.sent if isinstance(one, pipe.Look)]

    async def texts(self, count):
        return [await self.outbox.accept(SESSION, Message(TO, str(number))) for number in range(count)]

    @property
    def orders(self):
        return [one for one in self.holders.sent if isinstance(one, pipe.Send)]

    @property
    def handed(self):
        return [one.text for one in self.orders]

    async def handing(self, count):
        """Until the holder was given so many texts in all."""
        async with asyncio.timeout(5):
            while len(self.orders) < count:
                self.holders.heard.clear()
                await self.holders.heard.wait()

    async def says(self, order, reason=None):
        """The holder's answer to an order."""
        known = {"session": SESSION, "message": order.message}
        answer = pipe.Sent(**known, whatsapp_id=f"3EB0{order.text}", at=5) if reason is None else None
        await self.holders.hear(answer or pipe.SendFailed(**known, reason=reason))

    async def told(self, count):
        await self.until(lambda: len(self.ended) >= count)
        return self.ended

    async def stands(self, message):
        return (await self.outbox.look(SESSION, message)).get("state")
