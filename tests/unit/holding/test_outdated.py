"""Sessions that WhatsApp refuses as outdated: one tries, and if it comes online, all others follow."""

import asyncio

import pytest

from tests.waiting import until
from workers.holding import outdated
from workers.holding.outdated import Outdated


class FakeHeld:
    def __init__(self, name):
        self.session = name


class Room:
    """A worker's refused sessions; `newer` says whether there is a newer version to try."""

    next_try = 0

    def __init__(self):
        self.in_use, self.newer, self.started, self.tasks = 1, False, [], []
        self.gone: set[object] = set()
        self.room = Outdated(self, lambda held: held.session not in self.gone, self._start, self._spawn)  # type: ignore[arg-type]

    async def refused(self, _library):
        return self.newer

    def accepted(self, _library):
        pass

    async def _start(self, held):
        self.started.append(held.session)

    def _spawn(self, work, _name):
        self.tasks.append(asyncio.ensure_future(work))

    async def settle(self):
        await asyncio.gather(*self.tasks)


@pytest.fixture
def room():
    return Room()


async def test_all_wait_while_nothing_newer_is_known_and_one_tries_when_time_has_passed(room):
    held = [FakeHeld(n) for n in range(5)]
    for one in held:
        await room.room.refused(one, None)
    assert (room.started, len(room.room)) == ([], 5)
    room.room.try_again()
    room.room.try_again()
    await room.settle()
    assert room.started == [0]
    await room.room.refused(held[0], None)  # in vain
    room.room.try_again()
    await room.settle()
    assert room.started == [0, 1], "another one, so that no account is tried more than others"


async def test_all_follow_one_that_came_online(room):
    held = [FakeHeld(n) for n in range(5)]
    for one in held[:4]:
        await room.room.refused(one, None)
    room.in_use, room.newer = 2, True
    room.room.try_again()
    await room.settle()
    assert room.started == [0]
    room.gone.add(2)
    room.room.online(held[0])
    await room.settle()
    assert room.started == [0, 1, 3]
    await room.room.refused(held[4], None)  # late, and refused with the older version
    await room.settle()
    assert room.started == [0, 1, 3, 4], "nobody needs to try any more"
    assert len(room.room) == 0


@pytest.mark.parametrize("how", ["lost", "silent"])
async def test_one_that_tries_without_an_answer_makes_place_for_the_next(room, how, monkeypatch):
    if how == "silent":
        monkeypatch.setattr(outdated, "PROBE_SECONDS", 0.01)
    held = [FakeHeld(n) for n in range(2)]
    for one in held:
        await room.room.refused(one, None)
    room.room.try_again()
    if how == "lost":
        room.room.lost(held[0])
    await until(lambda: room.started == [0, 1])


async def test_a_try_that_has_ended_leaves_no_alarm_behind(room, monkeypatch):
    monkeypatch.setattr(outdated, "PROBE_SECONDS", 0.01)
    held = [FakeHeld(n) for n in range(2)]
    for one in held:
        await room.room.refused(one, None)
    room.room.try_again()
    await room.room.refused(held[0], None)
    fired = asyncio.Event()
    asyncio.get_running_loop().call_later(0.02, fired.set)
    await fired.wait()
    assert room.started == [0], "nobody tries before something has changed"


async def test_a_version_that_is_refused_later_is_tried_by_one_again(room):
    held = [FakeHeld(n) for n in range(3)]
    room.newer = True
    await room.room.refused(held[0], None)
    room.room.online(held[0])
    await room.settle()
    room.newer = False
    for one in held:
        await room.room.refused(one, None)
    room.room.try_again()
    await room.settle()
    assert room.started == [0, 0]


async def test_no_session_follows_into_a_version_that_is_refused_meanwhile(room):
    held = [FakeHeld(n) for n in range(6)]
    for one in held:
        await room.room.refused(one, None)
    room.in_use = 2
    room.room.try_again()
    await room.settle()
    start = room._start

    async def refuse(one):
        await start(one)
        await room.room.refused(one, None)

    room.room.start = refuse
    room.room.online(held[0])
    await room.settle()
    assert room.started == [0, 1], "the first that is refused again stops the others"
    assert len(room.room) == 5
