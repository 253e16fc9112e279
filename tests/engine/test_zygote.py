"""What holds for every engine process, whatever the library does: birth, death, silence."""

import asyncio
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engine.steps import Steps, act, gone, story, until
from tests.recovery import at_most
from workers.engine.pool import LinkerPool
from workers.engine.processes import EngineFailed, Engines, Exited, Options, PipeClosed
from workers.engine.protocol import Ended, Qr, RequestCode, Start


def maps(pid: int | None) -> str:
    return Path(f"/proc/{pid}/maps").read_text()


async def test_the_zygote_has_one_thread_and_not_the_library_but_its_children_have(lonely):
    linker = await lonely.linker()

    assert len(os.listdir(f"/proc/{lonely.pid}/task")) == 1
    assert "neonize-linux" not in maps(lonely.pid)
    assert "neonize-linux" in maps(linker.pid)


async def test_a_child_imports_nothing_that_its_siblings_could_have_shared(acting):
    [ended, exited] = await story(await act(acting, "modules"))

    assert ended == Ended(reason="")
    assert exited == Exited(code=0, signal=None)


async def test_a_child_has_no_descriptor_of_its_parent_but_its_pipe(lonely):
    linker = await lonely.linker()
    inherited = {
        os.readlink(f"/proc/{lonely.pid}/fd/{number}")
        for number in os.listdir(f"/proc/{lonely.pid}/fd")
        if number != "2"
    }
    own = {os.readlink(f"/proc/{linker.pid}/fd/{number}") for number in os.listdir(f"/proc/{linker.pid}/fd")}

    # The pipe that carries its descriptor 2 to the zygote has one name at both ends.
    shared = {name for name in inherited & own if not name.startswith(("/dev/null", "anon_inode"))}
    assert len(shared) == 1
    assert shared.pop().startswith("pipe:")


async def test_a_killed_child_is_gone_within_a_second_and_can_be_killed_again(lonely):
    linker = await lonely.linker()
    with at_most(1):
        exited = await linker.kill()
    assert exited == Exited(code=None, signal=signal.SIGKILL)
    assert not Path(f"/proc/{linker.pid}").exists()
    assert await linker.kill() == exited
    assert await story(linker) == [exited]
    with pytest.raises(PipeClosed):
        await linker.send(RequestCode(phone="+79001234567"))


async def test_a_stopped_child_can_be_killed(lonely):
    linker = await lonely.linker()
    assert linker.pid is not None
    os.kill(linker.pid, signal.SIGSTOP)

    assert (await linker.kill()).signal == signal.SIGKILL


async def test_a_child_ends_by_itself_when_its_pipe_closes(lonely):
    linker = await lonely.linker()
    linker.close()

    async with asyncio.timeout(5):
        assert await linker.exited == Exited(code=0, signal=None)


async def test_a_host_that_signals_every_process_does_not_end_the_engines(lonely):
    linker = await lonely.linker()
    for pid in (lonely.pid, linker.pid):
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGINT)

    another = await lonely.linker()  # so the zygote lives, and has seen its signals
    assert not linker.exited.done()
    await another.kill()
    assert (await linker.kill()).signal == signal.SIGKILL


async def test_a_death_and_its_noise_that_are_heard_at_once_cost_the_others_nothing(lonely):
    """The death closes the descriptor that the same selection has something to say of."""
    staying, dying = await lonely.linker(), [await lonely.linker() for _ in range(4)]
    first = lonely.pid
    os.kill(first, signal.SIGSTOP)
    for linker in dying:
        os.kill(linker.pid, signal.SIGKILL)  # its end of the pipe closes, and its parent gets SIGCHLD
    os.kill(first, signal.SIGCONT)
    async with asyncio.timeout(5):
        for linker in dying:
            assert await linker.exited == Exited(code=None, signal=signal.SIGKILL)
    another = await lonely.linker()

    assert lonely.pid == first
    assert not staying.exited.done()
    for linker in (staying, another, *dying):
        await linker.kill()


async def test_a_fork_that_fails_costs_that_child_only(lonely):
    linker = await lonely.linker()
    first = lonely.pid
    limits = resource.prlimit(first, resource.RLIMIT_NOFILE)
    resource.prlimit(first, resource.RLIMIT_NOFILE, (len(os.listdir(f"/proc/{first}/fd")) + 1, limits[1]))

    with pytest.raises(EngineFailed, match="EMFILE"):
        await lonely.linker()

    resource.prlimit(first, resource.RLIMIT_NOFILE, limits)
    another = await lonely.linker()
    assert lonely.pid == first
    assert not linker.exited.done()
    for one in (linker, another):
        await one.kill()


async def test_the_death_of_the_zygote_takes_its_children_and_is_repaired(lonely):
    async with LinkerPool(lonely) as pool:
        taken = await pool.take()
        spare = await lonely.linker()
        first = lonely.pid
        os.kill(first, signal.SIGKILL)

        assert await story(taken) == [Exited(code=None, signal=signal.SIGKILL)]
        assert await gone(taken.pid)
        assert await gone(spare.pid)
        assert await spare.kill() == Exited(code=None, signal=signal.SIGKILL)
        another = await pool.take()
        assert lonely.pid != first
        await another.kill()


async def test_children_of_a_worker_that_has_fallen_silent_are_killed(lonely):
    """A worker that is stopped or wedged cannot give up the sessions that others take over from it."""
    silent, another = await lonely.linker(), await lonely.linker()
    lonely.alive(60.0)
    lonely.alive(0.1)  # the last word counts
    async with asyncio.timeout(5):
        assert (await silent.exited).signal == signal.SIGKILL
        assert (await another.exited).signal == signal.SIGKILL

    lonely.alive(60.0)
    fresh = await lonely.linker()  # the zygote itself lives on
    assert not fresh.exited.done()
    for linker in (silent, another, fresh):
        await linker.kill()


async def test_a_spare_that_dies_is_replaced(lonely):
    async with LinkerPool(lonely, spares=1) as pool:
        await until_warm(pool)
        [spare] = pool._warm
        await spare.kill()
        assert pool._warm == []
        await until_warm(pool)

        taken = await pool.take()
        assert taken.pid != spare.pid
        assert not taken.exited.done()
        await taken.kill()


async def test_a_warm_linker_has_touched_most_of_what_a_click_needs(steps: Steps, environment, tmp_path):
    options = Options(device_name="x", linking=(str(tmp_path),))
    async with Engines(options, environment, heap_mb=150) as engines, LinkerPool(engines, spares=1) as pool:
        await until_warm(pool)
        linker = await pool.take()
        before = page_faults(linker.pid)
        await linker.send(Start(database=steps.database()))
        await until(linker, Qr)
        touched = page_faults(linker.pid) - before
        assert touched < 335, f"{touched}; 285 are usual, 406 without the second dial, 716 if Go collects"
        await linker.kill()


def page_faults(pid: int) -> int:
    """How often the process has touched a page that was not mapped yet (proc(5), `minflt`)."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[7])


async def until_warm(pool: LinkerPool) -> None:
    async with asyncio.timeout(10):
        while not pool._warm:
            await asyncio.sleep(0)


async def test_many_at_once_each_get_a_linker_of_their_own(lonely):
    async with LinkerPool(lonely, spares=1) as pool, asyncio.TaskGroup() as group:
        takes = [group.create_task(pool.take()) for _ in range(4)]
    linkers = [take.result() for take in takes]

    assert len({linker.pid for linker in linkers}) == 4
    for linker in linkers:
        await linker.kill()


async def test_nothing_is_left_when_the_worker_is_killed(tmp_path):
    worker = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "import asyncio\n"
        "from workers.engine.processes import *\n"
        "async def main():\n"
        "    async with Engines(Options(device_name='x')) as engines:\n"
        "        linker, holder = await engines.linker(), await engines.holder()\n"
        "        print(engines.pid, linker.pid, holder.pid, flush=True)\n"
        "        await asyncio.Event().wait()\n"
        "asyncio.run(main())\n",
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert worker.stdout is not None
    pids = [int(word) for word in (await worker.stdout.readline()).split()]
    assert len(pids) == 3
    worker.kill()
    await worker.wait()

    for pid in pids:
        assert await gone(pid)


async def test_gos_memory_is_bounded_and_an_operators_own_word_wins():
    """Go reads its environment as it was when the zygote started, so that is where it must stand."""

    async def environment(given: dict[str, str]) -> dict[str, str]:
        async with Engines(
            Options(device_name="x"), os.environ | {"HTTPS_PROXY": "http://127.0.0.1:1"} | given, heap_mb=150
        ) as engines:
            await (await engines.linker()).kill()
            lines = Path(f"/proc/{engines.pid}/environ").read_bytes().split(b"\0")
        return dict(line.decode().partition("=")[::2] for line in lines if b"=" in line)

    ours, theirs = await environment({}), await environment({"GOMEMLIMIT": "1GiB"})
    assert (ours["GOMEMLIMIT"], ours["GOGC"], ours["NEONIZE_BOT_TAG"]) == ("150MiB", "050", "off")
    assert theirs["GOMEMLIMIT"] == "1GiB"
