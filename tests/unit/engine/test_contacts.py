"""Questions about people: what the library answers, and what is known if it answers half of it or nothing."""

import pytest

from workers.engine.child.contacts import look
from workers.engine.child.happenings import ClientError
from workers.engine.protocol import Person

OWN = "+79001239999"
HERE, ALSO, NOBODY = "+79001230001", "+79001230002", "+79001230404"


class FakeClient:
    """A server that knows some numbers; the store learns LIDs as the library does."""

    def __init__(self, accounts, *, silent=()):
        self.accounts, self.silent = accounts, silent
        self.lids: dict[str, str] = {}
        self.asked: list[str] = []

    def _say(self, what):
        self.asked.append(what)
        if what in self.silent:
            raise ClientError("info query timed out")

    async def on_whatsapp(self, numbers):
        self._say("contact")
        return [(n, f"{self.accounts.get(n, n)[1:]}@s.whatsapp.net", n in self.accounts) for n in numbers]

    async def lid_of(self, number):
        return self.lids.get(number, "")

    async def number_of(self, lid):
        return next((f"{n[1:]}@s.whatsapp.net" for n, one in self.lids.items() if one == lid), "")

    async def learn(self, numbers):
        self._say("lid")
        for number in numbers:
            if number in self.accounts.values():
                self.lids[number] = f"9{number[1:]}@lid"

    async def devices(self, jids):
        self._say(f"devices of {len(jids)}")
        return len(jids)


def person(number, exists, account="", known=False):
    return Person(
        number=number, exists=exists, account=account, lid=f"9{account[1:]}@lid" if exists else "", known=known
    )


async def test_three_ways_to_the_server_say_all_of_many():
    client = FakeClient({HERE: HERE, ALSO: ALSO})
    assert await look(client, [HERE, ALSO, NOBODY], OWN) == [  # type: ignore[arg-type]
        person(HERE, True, HERE),
        person(ALSO, True, ALSO),
        Person(number=NOBODY, exists=False),
    ]
    assert client.asked == ["contact", "lid", "devices of 2"]
    assert [one.known for one in await look(client, [HERE], OWN)] == [True]  # type: ignore[arg-type]


async def test_the_servers_own_name_of_an_account_counts():
    client = FakeClient({"+5215512345678": "+525512345678"})
    assert await look(client, ["+5215512345678"], OWN) == [person("+5215512345678", True, "+525512345678")]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("silent", "exists"), [(("contact",), True), (("contact", "lid"), None), (("lid", "devices of 1"), True)]
)
async def test_a_question_without_an_answer_is_no_obstacle(silent, exists):
    (found,) = await look(FakeClient({HERE: HERE}, silent=silent), [HERE], OWN)  # type: ignore[arg-type]
    assert (found.exists, found.account) == (exists, HERE)
