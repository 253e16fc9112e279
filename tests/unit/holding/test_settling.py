"""Fresh devices read months of history: a few at a time, by themselves, and then they move in with the others."""

import asyncio

import pytest

from tests.waiting import until
from workers.engine import protocol as pipe
from workers.engine.processes import EngineFailed
from workers.holding import settling as module
from workers.holding.holders import Room
from workers.holding.settling import Settling


class FakeHolders:
    """Remembers who is held where; `size` is the memory of its one settling process, at each look more while it `grows`."""

    def __init__(self):
        self.held, self.moved, self.size, self.grows, self.fails = [], [], 100, False, False

    def memory(self):
        self.size += 5 * self.grows
        return self.size

    async def hold(self, order, room):
        if self.fails:
            raise EngineFailed("none to be had")
        assert room is Room.SETTLING
        self.held.append(order.session)

    def settling(self, session):
        return 1 if session in self.held else None

    async def move_in(self, session):
        self.moved.append(session)


class Nursery:
    def __init__(self, most):
        self.holders = FakeHolders()
        self.tasks: list[asyncio.Future[None]] = []
        self.settling = Settling(self.holders, most, self._spawn)  # type: ignore[arg-type]

    def _spawn(self, work, _name):
        self.tasks.append(asyncio.ensure_future(work))

    def begin(self, session):
        order = pipe.Hold(session=session, database="/d", jid="1:1@s.whatsapp.net")
        self.tasks.append(asyncio.ensure_future(self.settling.hold(order)))


@pytest.fixture
async def nursery(monkeypatch):
    made = Nursery(150)
    monkeypatch.setattr(module, "memory_of", lambda _pid: made.holders.memory())
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(module, "LOUD_SECONDS", 0.05)
    monkeypatch.setattr(module, "REST_SECONDS", 0.1)
    yield made
    for task in made.tasks:
        task.cancel()
    await asyncio.gather(*made.tasks, return_exceptions=True)


async def test_as_many_are_loud_at_once_as_the_memory_carries_and_the_next_follows(nursery, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 1000)
    nursery.holders.grows = True
    for session in "abc":
        nursery.begin(session)
    await until(lambda: nursery.holders.held == ["a", "b"])
    nursery.holders.grows = False
    await until(lambda: nursery.holders.held == ["a", "b", "c"])
    await until(lambda: sorted(nursery.holders.moved) == ["a", "b", "c"])


async def test_a_session_whose_process_grows_stays_loud_and_stays(nursery, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.3)
    nursery.holders.grows = True
    for session in "abc":
        nursery.begin(session)
    await until(lambda: "c" in nursery.holders.held)  # its patience was at an end
    assert nursery.holders.moved == []
    nursery.holders.grows = False
    await until(lambda: sorted(nursery.holders.moved) == ["a", "b", "c"])


async def test_no_session_settles_for_ever(nursery, monkeypatch):
    monkeypatch.setattr(module, "MOST_SECONDS", 0.05)
    monkeypatch.setattr(module, "REST_SECONDS", 100)
    nursery.begin("a")
    await until(lambda: nursery.holders.moved == ["a"])


async def test_a_session_that_is_gone_or_finds_no_process_makes_room_for_others(nursery):
    nursery.holders.fails = True
    for session in "abcd":
        nursery.begin(session)
    done = await asyncio.gather(*nursery.tasks[:4], return_exceptions=True)
    assert [type(one) for one in done] == [EngineFailed] * 4
    nursery.holders.fails = False
    nursery.begin("e")
    await until(lambda: nursery.holders.held == ["e"])
    nursery.holders.held.clear()
    await until(lambda: nursery.holders.moved == ["e"])
