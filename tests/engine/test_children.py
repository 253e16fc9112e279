"""An engine process whose library misbehaves: what it prints, breaks or says wrongly, and what is told of it."""

import asyncio
import contextlib
import os
import signal

import pytest

from tests.engine.fake.linker import SECRET
from tests.engine.steps import act, story
from workers.engine.processes import EngineFailed, Engines, Exited, Options, WrongMessage
from workers.engine.protocol import Ended


async def test_a_panic_of_the_library_is_told_by_its_first_line_and_nothing_else(acting, capfd):
    exited = (await story(await act(acting, "panic")))[-1]

    assert exited == Exited(
        code=None,
        signal=signal.SIGABRT,
        panic="panic: runtime error: invalid memory address or nil pointer dereference",
    )
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("bug", ["bug", "bug in a callback"])
async def test_an_error_of_ours_in_a_child_is_told_by_type_and_place(acting, capfd, bug):
    [exited] = await story(await act(acting, bug))

    assert isinstance(exited, Exited)
    assert exited.code == 70
    assert exited.panic is not None
    assert exited.panic.startswith("fatal error: python ")
    assert "Error at linker.py:" in exited.panic
    assert SECRET not in exited.panic
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("what", ["garbage", "endless line"])
async def test_a_child_that_leaves_the_protocol_is_ended_with_a_clear_error(acting, what):
    linker = await act(acting, what)
    with pytest.raises(WrongMessage) as wrong:
        await anext(linker)

    assert SECRET not in str(wrong.value)
    assert wrong.value.__cause__ is None
    assert await story(linker) == [Exited(code=None, signal=signal.SIGKILL)]


async def test_a_child_that_dies_in_the_middle_of_a_line_has_said_nothing(acting):
    assert await story(await act(acting, "half a line")) == [Exited(code=0, signal=None)]


async def test_prints_and_logs_of_the_library_go_nowhere(acting, capfd, caplog):
    [ended, exited] = await story(await act(acting, "noise"))

    assert ended == Ended(reason="said it all")
    assert exited == Exited(code=0, signal=None)
    assert capfd.readouterr() == ("", "")
    assert SECRET not in caplog.text


async def test_a_cancelled_read_loses_nothing(acting):
    linker = await act(acting, "deaf")
    reading = asyncio.ensure_future(anext(linker))
    await asyncio.sleep(0)
    reading.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await reading

    await linker.kill()
    assert await story(linker) == [Exited(code=None, signal=signal.SIGKILL)]


async def test_a_zygote_that_cannot_start_is_an_error_and_not_an_endless_wait(monkeypatch):
    monkeypatch.setattr("workers.engine.processes.READY_LIMIT", 2.0)
    environment = {"PATH": os.environ["PATH"], "PYTHONHOME": "/nonexistent"}
    async with Engines(Options(device_name="x"), environment) as engines:
        with pytest.raises(EngineFailed, match="it ended with 1"):
            await engines.linker()
