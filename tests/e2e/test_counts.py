"""What an onboarding, a text, and web and a worker at rest cost, in counts that do not depend on how busy the machine is.

A Redis command that is added fails here, as does one that is saved: then the table below is what is written down. Round
trips to Postgres, bytes, processes and memory may differ by 15 %. Milliseconds are the benchmark's (bench/).
"""

import time
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
from bench.round_trips import RoundTrips
from emulator.client import Emulator
from shared.core import keys
from shared.core.ids import SessionId
from tests.e2e.fixtures import a_postgres
from tests.e2e.stack import Stack, new_number
from tests.waiting import until
from workers.store.postgres import pgbouncer

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
SWEEP = "EVALSHA unowned"
"""The sweep of each minute asks about all sessions at once: it costs as much without this one."""


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

TEXTS = 10
TEXT = {"EVALSHA accept_text": 1.0, "EVALSHA step_texts": 4.0}
"""The most Redis commands of a text to somebody who is known, from its POST until it is delivered: the session's worker learns
of it, begins with it, and writes that it was sent and that it was delivered. Steps that are due at once are one: 3 to 3.6."""
ONBOARDINGS = 3
ROUND_TRIPS = {"onboarding": 19, "text": 11}
"""To Postgres, by worker, engine processes and all: until nobody asks it any more."""

IDLE_PROCESSES = 4
"""The worker, its zygote, the linker that waits for the first click, and the shell that waits for the worker's death."""
IDLE_OWN_MB = 65.0
WEB_PRIVATE_MB = 35.0
EACH_SECONDS = {
    "EVALSHA beat": 2.0,
    "EVALSHA due_queues": 5.0,
    "EVALSHA take_jobs": 20.0,
    "EVALSHA report": 10.0,
    "EVALSHA serve_events": 20.0,
    "EVALSHA throw": 10.0,  # the switches, by web and by worker
    "HGETALL": 20.0,
    "ZRANGEBYSCORE": 20.0,
    "PING": 20.0,
    "SCRIPT": 20.0,  # Redis is told a script when it is said for the first time
}
"""What web and one worker without sessions say to Redis, and how often. The sweep of each minute is not among it."""
BEATS = 10


def _near(counted: float, today: float) -> bool:
    return abs(counted - today) <= SPREAD * today


@pytest.mark.parametrize("method", ONBOARDING)
async def test_an_onboarding_costs_what_it_did(stack: Stack, method: str) -> None:
    await _onboard(stack, method)  # the first use of a script is said twice: Redis does not know it yet
    cost = ONBOARDING[method]
    sent, told = await _onboard(stack, method)
    reads = sum(sent.pop(name, 0) for name in READS)
    del sent[SWEEP]
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


async def test_a_text_and_an_onboarding_cost_postgres_and_redis_what_they_did(
    emulator: Emulator, own_redis: LocalRedis, folder: Path
) -> None:
    if pgbouncer.installed() is None:
        pytest.skip("NO PGBOUNCER on this machine")
    with a_postgres() as postgres:
        async with RoundTrips.to(postgres.port) as trips:
            database = postgres.url(await postgres.database(), port=trips.port)
            async with Stack.running(
                emulator, own_redis.url, folder, quiet=True, DATABASE_URL=database, MAX_RATE="0"
            ) as stack:
                link, _ = await stack.linked()  # connections are made, and statements prepared
                await stack.worker.said("session.logged-in", session=link["session"])
                # Texts first: in a minute their session has moved to another process, and a sweep has come.
                friend = new_number()
                await emulator.phone(friend).change(receipts="delivered")
                await _texts(stack, link, friend, 2)  # who is known, and has a session of the library's
                await until(lambda: trips.quiet(1.0))
                before = trips.count
                sent = await _texts(stack, link, friend, TEXTS)
                await until(lambda: trips.quiet(1.0))
                text = (trips.count - before) / TEXTS
                onboardings = []
                for _ in range(ONBOARDINGS):
                    await until(lambda: trips.quiet(1.0))
                    before = trips.count
                    link, _ = await stack.linked()
                    await stack.worker.said("session.logged-in", session=link["session"])
                    await until(lambda: trips.quiet(1.0))
                    onboardings.append(trips.count - before)
    each = {name: count / TEXTS for name, count in sent.items()}
    assert each.keys() == TEXT.keys(), each
    assert all(each[name] <= most for name, most in TEXT.items()), each
    assert min(onboardings) == ROUND_TRIPS["onboarding"], onboardings  # a sweep that comes meanwhile only adds
    assert abs(text - ROUND_TRIPS["text"]) < 0.5, text


async def _texts(stack: Stack, link: dict[str, Any], to: str, count: int) -> Counter[str]:
    """Post so many texts, each when the one before is delivered: the commands that name their session."""
    monitor = Monitor(stack.environment["REDIS_URL"])
    monitor.about = link["session"]
    async with monitor:
        monitor.reset()
        for number in range(count):
            answer = await stack.http.post(
                f"/api/v1/companies/{link['company']}/messages", json={"to": to, "text": f"You are booked: {number}."}
            )
            name = keys.message(SessionId(link["session"]), answer.json()["id"])

            async def delivered(name: str = name) -> bool:
                # A command that nobody else says.
                return bool(await stack.redis.hstrlen(name, "state") == len("delivered"))

            await until(delivered)
        await stack.redis.echo(link["session"])
        await until(lambda: monitor.sent["ECHO"])
        sent = Counter(monitor.sent)
    del sent["ECHO"], sent["HSTRLEN"], sent[SWEEP]
    return sent


async def test_a_service_at_rest_costs_what_it_did(emulator: Emulator, own_redis: LocalRedis, folder: Path) -> None:
    async with Stack.running(emulator, own_redis.url, folder) as stack, Monitor(own_redis.url) as monitor:
        seen: list[tuple[memory.Memory, int]] = []

        def settled() -> bool:
            seen.append(memory.family(stack.worker.pid))
            return seen[-1][1] == IDLE_PROCESSES and _near(seen[-1][0].own, IDLE_OWN_MB)

        try:
            await until(settled)
        except TimeoutError:
            pytest.fail(f"{seen[-1]}, not {IDLE_PROCESSES} processes of {IDLE_OWN_MB} MB in all")
        web = memory.of(stack.web.pid)
        assert _near(web.private, WEB_PRIVATE_MB), web
        await until(lambda: stack.redis.exists(keys.SWEPT))  # the sweep of a start is over, and a beat later its job
        monitor.reset()
        await until(lambda: monitor.sent["EVALSHA beat"] >= 2)
        monitor.reset()
        began = time.monotonic()
        await until(lambda: monitor.sent["EVALSHA beat"] >= BEATS, 60)
        sent, seconds = Counter(monitor.sent), time.monotonic() - began
    assert sent.keys() <= EACH_SECONDS.keys(), sent
    # Within a window of any length, what comes in turns may come once more or less, and a turn is never quite so long.
    assert all(abs(sent[name] - seconds / each) < 1.5 for name, each in EACH_SECONDS.items()), (seconds, sent)
