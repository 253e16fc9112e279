"""Redis comes back with an older state, and an owner clicks before the worker that holds the session has spoken."""

import signal
from contextlib import ExitStack
from pathlib import Path

import pytest

from emulator.client import Emulator
from tests.chaos.test_redis_back import TailCut
from tests.e2e.stack import Stack, new_number
from tests.recovery import Recovery

pytestmark = [pytest.mark.asyncio(loop_scope="session")]


async def test_a_click_before_the_owner_has_spoken_begins_no_second_device(
    emulator: Emulator, folder: Path, recovery: Recovery
) -> None:
    with ExitStack() as servers:
        redis = TailCut(servers)
        async with redis.running() as url, Stack.running(emulator, url, folder) as stack:
            link, number = await stack.link(), new_number()
            await redis.mark()
            async with stack.socket(link) as page:
                await page.send("request-qr")
                shown = await page.snapshot(lambda s: "qr" in s)
                assert await emulator.phone(number).scan(shown["qr"]["text"]) == "confirmed"
                await page.state("linked")
            await stack.worker.said("session.logged-in", session=link["session"])
            holder = stack.worker
            await stack.start_worker()
            holder.process.send_signal(signal.SIGSTOP)  # for less than 5 s: nobody takes it for dead
            await redis.go_back()
            async with stack.socket(link) as page:
                await page.send("request-qr")
                await stack.worker.said("attempt.linked-already", session=link["session"])
                holder.process.send_signal(signal.SIGCONT)
                with recovery.within("Redis went back, and its owner clicks: the session is linked", 10):
                    await page.state("linked")
                assert not [seen for seen in page.seen if "qr" in seen.get("snapshot", {})]
            devices = await emulator.phone(number).devices()
            assert len(devices) == 1
            assert await stack.company(link)
