"""Holder processes wear out: their sessions are moved one by one, and never held twice.

One pool of pretended processes serves all tests: one file.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable

import pytest

from shared.core.ids import SessionId
from tests.waiting import beside
from workers.engine import protocol as pipe
from workers.engine.processes import EngineFailed, Exited, PipeClosed
from workers.holding import holders


class FakeHolder:
    """A process that does at once what it is told, and writes down when it holds what."""

    def __init__(self, pid: int, diary: list[str], library: str | None) -> None:
        self.pid = pid
        self.library = library
        self.exited: asyncio.Future[Exited] = asyncio.get_running_loop().create_future()
        self._diary = diary
        self._said: asyncio.Queue[pipe.FromHolder | Exited] = asyncio.Queue()

    async def send(self, message: pipe.ToHolder) -> None:
        match message:
            case pipe.Hold(session=session):
                self._diary.append(f"{self.pid} holds {session}")
                self._said.put_nowait(pipe.Held(session=session))
            case pipe.Release(session=session):
                self._diary.append(f"{self.pid} releases {session}")
                self._said.put_nowait(pipe.Released(session=session))

    def say(self, message: pipe.FromHolder) -> None:
        self._said.put_nowait(message)

    async def kill(self) -> Exited:
        if not self.exited.done():
            self.exited.set_result(Exited(None, 9))
            self._said.put_nowait(self.exited.result())
        return self.exited.result()

    async def __aiter__(self) -> AsyncIterator[pipe.FromHolder | Exited]:
        while True:
            message = await self._said.get()
            yield message
            if isinstance(message, Exited):
                return


class World:
    """Holders over fake processes, and everything that was heard."""

    def __init__(self) -> None:
        self.diary: list[str] = []
        self.made: list[FakeHolder] = []
        self.died: list[str] = []
        self.fails = False
        self.library: str | None = None
        self.ready = asyncio.Event()  # whether processes start at once
        self.ready.set()
        self.asked = asyncio.Event()
        self._tasks: list[asyncio.Future[None]] = []
        self.holders = holders.Holders(self, self.spawn)  # type: ignore[arg-type]
        self.holders.listen(self._hear, self._died)

    async def holder(self) -> FakeHolder:
        self.asked.set()
        await self.ready.wait()
        if self.fails:
            raise EngineFailed("none could be had")
        self.made.append(FakeHolder(len(self.made) + 1, self.diary, self.library))
        return self.made[-1]

    def spawn(self, work: Awaitable[None], _name: str) -> None:
        self._tasks.append(asyncio.ensure_future(work))

    async def settle(self) -> None:
        while any(not task.done() for task in self._tasks):
            await asyncio.gather(*self._tasks)

    async def hold(self, session: str, room: holders.Room = holders.Room.ORDINARY) -> None:
        await self.holders.hold(pipe.Hold(session=session, database="/d", jid="1:1@s.whatsapp.net"), room)

    async def _hear(self, event: pipe.FromHolder) -> None:
        if isinstance(event, pipe.Dropped):
            self.diary.append(f"{event.session} is away")

    async def _died(self, sessions: list[SessionId]) -> None:
        self.died += sessions


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(holders, "MOST_WEAR", 4)
    made = World()
    yield made
    await made.holders.close()


async def test_a_worn_process_is_replaced_and_each_session_is_released_before_it_is_held_again(world: World) -> None:
    for name in ("company_a", "company_b", "company_c", "company_c"):
        await world.hold(name)
    del world.diary[2]  # started twice, so that the process is worn by more than it holds
    await world.settle()
    assert len(world.made) == 2
    assert world.made[0].exited.done()
    for name in ("company_a", "company_b", "company_c"):
        moved = [line for line in world.diary if name in line]
        # Whoever sends by the session hears that it is away first: no text goes to a process that lets it go.
        assert moved == [f"1 holds {name}", f"{name} is away", f"1 releases {name}", f"2 holds {name}"]
    assert world.died == [], "a process that was emptied has taken nobody with it"


async def test_a_newer_library_is_for_fresh_processes_and_an_older_one_ends_when_it_holds_nothing_more(
    world: World,
) -> None:
    await world.hold("company_a")
    await world.hold("company_b")
    world.library = "/copy"
    world.holders.retire()
    await world.hold("company_c")
    assert [one.library for one in world.made] == [None, "/copy"]
    assert world.diary == ["1 holds company_a", "1 holds company_b", "2 holds company_c"], "who is online stays online"
    await world.holders.release(SessionId("company_a"))
    await world.settle()
    assert not world.made[0].exited.done()
    world.made[0].say(pipe.Lost(session="company_b", reason=pipe.LostReason.OUTDATED))
    async with asyncio.timeout(5):
        await world.made[0].exited
    assert not world.made[1].exited.done()


async def test_fresh_devices_settle_among_themselves_and_move_in_later(world: World) -> None:
    await world.hold("company_a")
    for name in ("company_b", "company_c"):
        await world.hold(name, holders.Room.SETTLING)
    assert world.diary == ["1 holds company_a", "2 holds company_b", "2 holds company_c"]
    assert world.holders.settling(SessionId("company_a")) is None
    assert world.holders.settling(SessionId("company_b")) == 2
    for name in ("company_a", "company_b", "company_b"):
        await world.holders.move_in(SessionId(name))
    assert world.diary[3:] == ["company_b is away", "2 releases company_b", "1 holds company_b"]
    assert not world.made[1].exited.done()
    await world.holders.move_in(SessionId("company_c"))
    await world.settle()
    assert world.made[1].exited.done(), "an empty one ends, and its memory with it"
    assert world.died == []


async def test_a_session_that_finds_no_process_to_move_in_is_taken_up_like_one_of_a_dead_process(world: World) -> None:
    await world.hold("company_a", holders.Room.SETTLING)
    world.fails = True
    await world.holders.move_in(SessionId("company_a"))
    await world.settle()
    assert world.died == ["company_a"]


async def test_a_session_that_is_suspected_shares_its_process_with_nobody(world: World) -> None:
    await world.hold("company_a", holders.Room.ALONE)
    await world.hold("company_b")
    await world.hold("company_c", holders.Room.ALONE)
    assert world.diary == ["1 holds company_a", "2 holds company_b", "3 holds company_c"]


async def test_a_process_that_has_grown_too_large_is_replaced(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holders, "WATCH_SECONDS", 0.01)
    monkeypatch.setattr(holders, "memory_of", lambda pid: 500 if pid == 1 else 100)
    await world.hold("company_a")
    async with beside(world.holders.watch(300)), asyncio.timeout(5):
        await world.made[0].exited
    await world.settle()
    assert world.diary == ["1 holds company_a", "company_a is away", "1 releases company_a", "2 holds company_a"]


async def test_a_thread_that_never_ends_wears_a_process_out(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holders, "STUCK_WEAR", 4)
    await world.hold("company_a")
    await world.hold("company_b")
    world.made[0].say(pipe.Lost(session="company_a", reason=pipe.LostReason.LOGGED_OUT))
    for _ in range(2):
        world.made[0].say(pipe.Probed(sessions=1, starts=2, stuck=1))
    async with asyncio.timeout(5):
        await world.made[0].exited
    await world.settle()
    assert [line for line in world.diary if line.startswith("2")] == ["2 holds company_b"]


async def test_a_lost_session_is_not_taken_up_with_the_others_when_the_process_dies(world: World) -> None:
    await world.hold("company_a")
    await world.hold("company_b")
    world.made[0].say(pipe.Lost(session="company_a", reason=pipe.LostReason.REPLACED))
    await world.made[0].kill()
    async with asyncio.timeout(5):
        while not world.died:
            await asyncio.sleep(0)
    assert world.died == ["company_b"]


@pytest.mark.parametrize("end", ["released", "closed"])
async def test_a_session_released_while_its_process_starts_is_not_held(world: World, end: str) -> None:
    world.ready.clear()
    holding = asyncio.ensure_future(world.hold("company_a"))
    await world.asked.wait()
    if end == "released":
        await world.holders.release(SessionId("company_a"))
    else:
        await world.holders.close()
    world.ready.set()
    await holding
    assert world.diary == []
    assert [one.exited.done() for one in world.made] == [end == "closed"], "no process is left behind by a close"


async def test_a_session_released_while_it_waits_for_its_turn_is_not_held(world: World) -> None:
    world.ready.clear()
    first = asyncio.ensure_future(world.hold("company_a"))
    await world.asked.wait()
    second = asyncio.ensure_future(world.hold("company_b"))
    await asyncio.sleep(0)
    await world.holders.release(SessionId("company_b"))
    world.ready.set()
    await asyncio.gather(first, second)
    assert world.diary == ["1 holds company_a"]


async def test_a_session_released_while_it_is_moved_is_not_held_again(world: World) -> None:
    for name in ("company_a", "company_b", "company_c"):
        await world.hold(name)
    world.ready.clear()
    world.asked.clear()
    await world.hold("company_c")
    await world.asked.wait()  # company_a has left the worn process, and waits for another
    await world.holders.release(SessionId("company_a"))
    world.ready.set()
    await world.settle()
    assert [line for line in world.diary if line.startswith("2")] == ["2 holds company_b", "2 holds company_c"]


async def test_after_the_close_nothing_is_held(world: World) -> None:
    await world.holders.close()
    await world.hold("company_a")
    assert world.made == []


async def test_sessions_that_cannot_be_moved_are_told_as_lost_with_their_process(world: World) -> None:
    for name in ("company_a", "company_b", "company_c"):
        await world.hold(name)
    world.fails = True
    await world.hold("company_c")
    async with asyncio.timeout(5):
        while not world.died:
            await asyncio.sleep(0)
    assert world.died == ["company_a", "company_b", "company_c"]


async def test_the_sender_learns_if_a_process_has_been_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    session, order = SessionId("company_a"), pipe.Send(session="company_a", message="m", to="+1", text="x")
    assert await world.holders.send(session, order) is False
    await world.hold("company_a")
    assert await world.holders.send(session, order) is True

    async def closed(_message: pipe.ToHolder) -> None:
        raise PipeClosed("it is gone")

    monkeypatch.setattr(world.made[0], "send", closed)
    assert await world.holders.send(session, order) is False
