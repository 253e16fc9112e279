"""Full collections come when they are worth it."""

import asyncio
import gc

import pytest

from app.page import gc as garbage
from app.page.gc import FEWEST, NEVER, Garbage


@pytest.fixture
def counted():
    done = []
    return Garbage(lambda: done.append(1)), done


async def soon():
    await asyncio.sleep(0)


async def test_few_closed_sockets_are_not_worth_one(counted):
    ours, done = counted
    for _ in range(FEWEST - 1):
        with ours.socket():
            pass
    await soon()
    assert done == []
    with ours.socket():
        pass
    await soon()
    assert done == [1]


async def test_many_open_ones_put_it_off_until_as_many_have_closed(counted):
    ours, done = counted
    living = [ours.socket() for _ in range(2 * FEWEST)]
    for socket in living:
        socket.__enter__()
    for _ in range(2 * FEWEST - 1):
        with ours.socket():
            pass
    await soon()
    assert done == []
    living.pop().__exit__(None, None, None)
    await soon()
    assert done == [1]
    for socket in living:
        socket.__exit__(None, None, None)


async def test_of_a_storm_of_closings_one_is_made(counted):
    ours, done = counted
    for _ in range(2 * FEWEST):
        with ours.socket():
            pass
    await soon()
    assert done == [1]


async def test_python_makes_none_by_itself_while_it_runs_and_gets_its_rule_back(counted, monkeypatch):
    monkeypatch.setattr(garbage, "LONGEST_SECONDS", 0.0)
    ours, done = counted
    before = gc.get_threshold()
    running = asyncio.create_task(ours.run())
    await soon()
    assert gc.get_threshold() == (*before[:2], NEVER)
    assert done == [1]
    with ours.socket():
        pass
    while len(done) < 2:
        await soon()
    running.cancel()
    await asyncio.wait({running})
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0
