"""What runs beside a test ends with it, and its death is the test's; played time passes at once, and for timers alone."""

import asyncio
import time

import pytest

from tests.waiting import beside, played_time, until


async def test_work_beside_a_block_is_cancelled_at_its_end():
    async with beside(asyncio.Event().wait()) as task:
        assert not task.done()
    assert task.cancelled()


async def test_work_that_has_ended_harms_nobody():
    async with beside(asyncio.sleep(0, "all")) as task:
        await until(task.done)
    assert task.result() == "all"


async def dies():
    raise OSError("no gauge")


async def block_beside_it(failure=None):
    async with beside(dies()) as task:
        await until(task.done)
        if failure:
            raise failure


async def test_the_block_fails_with_what_its_work_died_of():
    with pytest.raises(OSError, match="no gauge"):
        await block_beside_it()


async def test_both_failures_are_told():
    stale = AssertionError("stale numbers")
    with pytest.raises(OSError, match="no gauge") as died:
        await block_beside_it(stale)
    assert died.value.__context__ is stale


async def test_played_time_passes_at_once_and_a_busy_machine_takes_none_of_it():
    loop, began = asyncio.get_running_loop(), time.monotonic()
    with played_time():
        start = loop.time()
        async with asyncio.timeout(3600):
            time.sleep(0.05)
            await asyncio.sleep(3599)
        assert loop.time() - start == pytest.approx(3599)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await asyncio.sleep(2)
    later = loop.time()
    await asyncio.sleep(0.01)
    assert 0.01 <= loop.time() - later < 3600, "and goes on as ever"
    assert time.monotonic() - began < 3600
