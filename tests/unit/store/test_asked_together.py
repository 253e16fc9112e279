"""Sessions that start together ask Postgres once whether their devices are there."""

import asyncio
from typing import Any, cast

import pytest

from shared.core.ids import SessionId
from workers.store.device import StoreAway, StoredDevice, Way
from workers.store.postgres.reach import Reached
from workers.store.postgres.store import PostgresStore

DEVICES = [StoredDevice(SessionId(f"company_{one}"), f"7900000000{one}:1@s.whatsapp.net", 1, "") for one in range(5)]


class Postgres:
    """Answers when it may. It has the devices `there`."""

    def __init__(self) -> None:
        self.questions: list[list[str]] = []
        self.may = asyncio.Event()
        self.there = {DEVICES[0], DEVICES[2]}
        self.fault: Exception | None = None

    async def run(self, work: Any) -> Any:
        return await work(self)

    async def fetch(self, _statement: str, jids: list[str]) -> list[tuple[str, str]]:
        self.questions.append(jids)
        await self.may.wait()
        if self.fault is not None:
            raise self.fault
        return [(one.session, one.jid) for one in self.there if one.jid in jids]


@pytest.fixture
def postgres() -> Postgres:
    return Postgres()


@pytest.fixture
def store(postgres: Postgres) -> PostgresStore:
    return PostgresStore(Reached(Way.THEIRS, cast("Any", postgres), "dsn", 0.0), cast("Any", None))


async def test_those_who_ask_while_a_question_is_under_way_are_one_question_after_it(store, postgres):
    first = asyncio.create_task(store.holds(DEVICES[0]))
    while not postgres.questions:
        await asyncio.sleep(0)
    others = [asyncio.create_task(store.holds(one)) for one in DEVICES[1:]]
    again = asyncio.create_task(store.holds(DEVICES[0]))
    await asyncio.sleep(0)
    postgres.may.set()
    assert await first
    assert await asyncio.gather(*others, again) == [False, True, False, False, True]
    assert postgres.questions == [[DEVICES[0].jid], [one.jid for one in (*DEVICES[1:], DEVICES[0])]]


async def test_who_asks_no_more_leaves_the_others_their_answer(store, postgres):
    asked = [asyncio.create_task(store.holds(one)) for one in DEVICES[:2]]
    while not postgres.questions:
        await asyncio.sleep(0)
    asked[0].cancel()
    postgres.may.set()
    assert not await asked[1]


async def test_a_store_that_is_away_is_told_to_all_who_ask_and_asked_anew(store, postgres, monkeypatch):
    monkeypatch.setattr("workers.store.postgres.store.LOOK_AGAIN_SECONDS", 0.0)
    postgres.may.set()
    postgres.fault = StoreAway("away")
    found = await asyncio.gather(*map(store.holds, DEVICES), return_exceptions=True)
    assert [type(one) for one in found] == [StoreAway] * len(DEVICES)
    postgres.fault = None
    assert await store.holds(DEVICES[0])
    assert len(postgres.questions) == 2
