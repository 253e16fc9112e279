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


async def test_few_closed_sockets_cause_no_collection(counted):
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


async def test_a_collection_waits_until_as_many_sockets_have_closed_as_are_open(counted):
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


async def test_sockets_that_close_at_once_cause_one_collection(counted):
    ours, done = counted
    for _ in range(2 * FEWEST):
        with ours.socket():
            pass
    await soon()
    assert done == [1]


async def test_python_makes_no_full_collection_by_itself_while_ours_run(counted, monkeypatch):
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
