"""First logins of devices that have just paired, with the real library in a real process, against the emulator."""

import pytest

from emulator.events import Kind
from emulator.faults import Fault
from tests.engine.steps import GOOD_END, Steps, overtaken, story, until
from tests.recovery import at_most
from workers.engine.protocol import Ended, LostReason, Qr, Word


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
