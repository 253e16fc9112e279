"""What an onboarding and an idle worker cost, in counts that do not depend on how busy the machine is.

A Redis command that is added to an onboarding fails here, as does one that is saved: then the table below is what is
written down. Bytes, processes and memory may differ by 15 %. Milliseconds are the benchmark's (bench/).
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from app.local.redis import LocalRedis
from bench import memory
from bench.monitor import Monitor
from emulator.client import Emulator
from tests.e2e.stack import Stack, new_number
from tests.waiting import until

pytestmark = [pytest.mark.asyncio(loop_scope="session")]

SPREAD = 0.15

_BOTH = {
    "EVALSHA request": 1,
    "EVALSHA acquire": 1,
    "INCRBY": 1,  # arq takes the job: its tries
    "EXPIRE": 1,
    "PEXPIRE": 2,
    "ZREM": 2,
    "GET": 1,
    "DEL": 1,
    "EVALSHA step_texts": 1,  # the session that is held looks for its texts
}
READS = {"ECHO", "HMGET", "ZRANK", "SUBSCRIBE", "UNSUBSCRIBE"}
"""How often web reads depends on how close together two snapshots are told, and on how long the job waits in its queue."""
MOST_READS = 8


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one onboarding from the click to `linked`: the Redis commands that name its session, and what the page is told."""

    commands: Mapping[str, int]
    snapshots: int
    bytes: int


ONBOARDING = {
    "qr": Cost(_BOTH | {"EVALSHA save": 4}, 6, 8_700),
    "code": Cost(_BOTH | {"EVALSHA save": 5, "EVALSHA take_code": 1, "EVALSHA give_code_back": 1}, 7, 16_300),
}

IDLE_PROCESSES = 4
"""The worker, its zygote, the linker that waits for the first click, and the shell that waits for the worker's death."""
IDLE_OWN_MB = 80.0


def _near(counted: float, today: float) -> bool:
    return abs(counted - today) <= SPREAD * today


@pytest.mark.parametrize("method", ONBOARDING)
async def test_an_onboarding_costs_what_it_did(stack: Stack, method: str) -> None:
    await _onboard(stack, method)  # the first use of a script is said twice: Redis does not know it yet
    cost = ONBOARDING[method]
    sent, told = await _onboard(stack, method)
    reads = sum(sent.pop(name, 0) for name in READS)
    assert dict(sent) == cost.commands
    assert reads <= MOST_READS
    # Two that were told close together may come as one, and who waits is told the same one again with the new place.
    assert len({(one["snapshot"]["attempt"], one["snapshot"]["seq"]) for one in told}) <= cost.snapshots
    assert sum(len(orjson.dumps(one)) for one in told) <= (1 + SPREAD) * cost.bytes


async def _onboard(stack: Stack, method: str) -> tuple[Counter[str], list[dict[str, Any]]]:
    """Link a company: the commands that name its session, and the snapshots that its page was told."""
    number, link = new_number(), await stack.link()
    phone = stack.emulator.phone(number)
    monitor = Monitor(stack.environment["REDIS_URL"])
    monitor.about = link["session"]
    async with monitor, stack.socket(link) as socket:
        monitor.reset()
        if method == "qr":
            await socket.send("request-qr")
            shown = await socket.snapshot(lambda seen: "qr" in seen)
            await phone.scan(shown["qr"]["text"])
        else:
            await socket.send("request-pairing-code", phoneNumber=number)
            shown = await socket.snapshot(lambda seen: "code" in seen)
            await phone.type_code(shown["code"]["text"])
        await socket.state("linked", 60)
        await until(lambda: monitor.sent["EVALSHA step_texts"])  # by the worker, whenever the new session is held
        await stack.redis.echo(link["session"])
        await until(lambda: monitor.sent["ECHO"])  # Redis tells in order: everything before it was counted
        sent = Counter(monitor.sent)
        told = [message for message in socket.seen if "snapshot" in message]
    return sent, told


async def test_an_idle_worker_costs_what_it_did(emulator: Emulator, own_redis: LocalRedis, folder: Path) -> None:
    async with Stack.running(emulator, own_redis.url, folder) as stack:
        seen: list[tuple[memory.Memory, int]] = []

        def settled() -> bool:
            seen.append(memory.family(stack.worker.pid))
            return seen[-1][1] == IDLE_PROCESSES and _near(seen[-1][0].own, IDLE_OWN_MB)

        try:
            await until(settled)
        except TimeoutError:
            pytest.fail(f"{seen[-1]}, not {IDLE_PROCESSES} processes of {IDLE_OWN_MB} MB in all")
