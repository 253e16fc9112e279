"""Refusals that come before the library has looked who it is, with the real library in a real process."""

import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from emulator.events import Kind
from emulator.faults import Fault
from tests.engine.held import hold, lost, probe
from tests.engine.steps import GOOD_END, Linked, Steps, story, until
from tests.recovery import at_most
from workers.engine.processes import Holder, Linker
from workers.engine.protocol import Ended, LostReason, Probed, Qr, Word


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    """Without a collector of garbage: it stops all of Go until the thread has written its word, for which we wait."""
    return environment | {"GOGC": "off"}


async def overtaken(process: Holder | Linker, zygote: int, refused: Callable[[], Awaitable[object]]) -> None:
    """Have a refusal of WhatsApp come before the client's thread has looked who it is. The library writes a word to
    descriptor 2 between the two: nobody reads what is there until the refusal has been taken."""
    os.kill(zygote, signal.SIGSTOP)
    try:
        with Path(f"/proc/{process.pid}/fd/2").open("wb", buffering=0) as noise:
            os.set_blocking(noise.fileno(), False)
            for size in (4096, 1):
                while noise.write(b"\0" * size):
                    pass
        await refused()
    finally:
        os.kill(zygote, signal.SIGCONT)


@pytest.mark.parametrize(
    ("status", "reason", "stuck"),
    [
        (401, LostReason.LOGGED_OUT, 1),
        (403, LostReason.RESTRICTED, 1),
        (406, LostReason.RESTRICTED, 1),
        (409, LostReason.REFUSED, 0),
    ],
)
async def test_a_refusal_that_overtakes_the_start_is_told(
    steps: Steps, linked: Linked, holder: Holder, status, reason, stuck
):
    """The library deletes the device then, and the client's thread waits for one for ever: no event comes from it."""
    await hold(holder, await steps.link(), "neighbour")
    await steps.emulator.arm(Fault.LOGIN_REFUSED, phone=linked.phone.number, status=status)

    async def refused() -> None:
        await holder.send(linked.hold("s"))
        await steps.emulator.wait_for(
            Kind.CONNECTION_CLOSED,
            phone=linked.phone.number,
            where=lambda event: event.detail["reason"] == f"refused: {status}",
        )

    await overtaken(holder, steps.engines.pid, refused)
    assert (await lost(holder)).reason is reason
    if stuck:
        assert await until(holder, Probed) == Probed(sessions=1, starts=2, stuck=stuck)
    await hold(holder, await steps.link(), "later")  # in the library's turn: the client has been stopped
    assert await probe(holder) == Probed(sessions=2, starts=3, stuck=stuck)


@pytest.mark.parametrize(
    ("status", "reason", "refusal"),
    [
        (401, "LOGGED_OUT", LostReason.LOGGED_OUT),
        (403, "MAIN_DEVICE_GONE", LostReason.RESTRICTED),
        (406, "UNKNOWN_LOGOUT", LostReason.RESTRICTED),
    ],
)
async def test_a_first_login_refused_before_the_library_has_looked_who_it_is_says_why(
    steps: Steps, status, reason, refusal
):
    """Its thread waits for ever for the device that it has deleted, and tells neither the pairing nor the refusal."""
    phone = steps.phone()
    await steps.emulator.arm(Fault.LOGIN_REFUSED, phone=phone.number, status=status)
    async with steps.attempt() as linker:
        qr = await until(linker, Qr)

        async def refused() -> None:
            await phone.scan(qr.text)
            await steps.emulator.wait_for(
                Kind.CONNECTION_CLOSED,
                phone=phone.number,
                where=lambda event: event.detail["reason"] == f"refused: {status}",
            )

        await overtaken(linker, steps.engines.pid, refused)
        with at_most(2):
            assert await story(linker) == [Word(word="success"), Ended(reason=reason, refusal=refusal), GOOD_END]
