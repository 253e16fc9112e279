"""Hosts' clocks differ by minutes: everything works, and the clock that is off is named."""

from pathlib import Path

import pytest

from app.local.redis import LocalRedis
from emulator.client import Emulator
from tests.e2e.stack import Stack
from tests.recovery import Recovery
from tests.waiting import until

pytestmark = [pytest.mark.asyncio(loop_scope="session")]

FAKETIME = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))), None)
PROMPT = 6.0
"""Seconds: on a busy machine of two cores up to 5, most often 1. The offsets are 30 and 240."""
REPORTED = 15.0
"""A worker says every 10 s how it is."""
TEXT = {"to": "+79161234567", "text": "In time."}


def shifted(by: str) -> dict[str, str]:
    """The environment of a host whose clock is off; its monotonic clock is not."""
    assert FAKETIME is not None
    return {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME": by,
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_NO_CACHE": "0",
    }


@pytest.mark.skipif(FAKETIME is None, reason="libfaketime is not installed")
@pytest.mark.parametrize(("web", "worker"), [("+0s", "-240s"), ("+0s", "+240s"), ("+240s", "-30s")])
async def test_a_host_whose_clock_is_off_works_and_is_named(
    emulator: Emulator, own_redis: LocalRedis, folder: Path, recovery: Recovery, web: str, worker: str
) -> None:
    stack = Stack(emulator, own_redis.url, folder)
    try:
        stack.environment |= shifted(web)
        await stack.start_web()
        await stack.start_worker(**shifted(worker))
        # The first linker and the first login come beside everything else that starts: that is no matter of clocks.
        linked, number = await stack.linked()
        await stack.worker.said("session.logged-in", session=linked["session"])
        async with stack.socket(await stack.link()) as socket:
            with recovery.within(f"web {web}, worker {worker}: QR", PROMPT):
                await socket.send("request-qr")
                shown = await socket.snapshot(lambda s: "qr" in s)
                assert 0 < shown["qr"]["expiresAt"] - shown["serverNow"] < 70_000
                assert shown["deadline"] > shown["serverNow"]
        before = await emulator.now()
        with recovery.within(f"web {web}, worker {worker}: a text", PROMPT):
            answer = await stack.http.post(f"/api/v1/companies/{linked['company']}/messages", json=TEXT)
            assert answer.status_code == 202
            await emulator.wait_for("message.received", after=before, phone=number.lstrip("+"))
        late = "late" if worker.startswith("-") else "ahead"

        async def is_named() -> bool:
            ready = await stack.http.get("/readyz")
            assert ready.status_code == 200, ready.text
            return late in ready.json()["clock"]

        await until(is_named, seconds=REPORTED)
        await stack.worker.said("clock.off")
    finally:
        await stack.close()
