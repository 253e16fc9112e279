"""What runs beside a test ends with it, and its death is the test's."""

import asyncio

import pytest

from tests.waiting import beside, until


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
