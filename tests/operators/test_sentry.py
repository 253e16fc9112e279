"""What Sentry hears, from the real processes: each thing once, with its tags, without secrets; and what it never hears."""

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from app.local.redis import LocalRedis
from emulator.client import Emulator
from emulator.environment import HOOK_DIRECTORY
from shared.core import keys
from shared.core.ids import SessionId
from shared.jobs.queue import client, enqueue
from tests.e2e.stack import Stack, new_number
from tests.operators.conftest import stats
from tests.operators.sink import Event, Sink
from tests.waiting import until

pytestmark = [pytest.mark.asyncio(loop_scope="session")]

BROKEN = Path(__file__).with_name("broken")
BROKEN_COMPANY = "salon-broken"


@pytest_asyncio.fixture(loop_scope="session")
async def heard() -> AsyncIterator[Sink]:
    async with Sink.running() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def told(emulator: Emulator, own_redis: LocalRedis, folder: Path, heard: Sink) -> AsyncIterator[Stack]:
    """A service that reports to the sink, and has a bug for companies named `salon-broken…`."""
    async with Stack.running(
        emulator,
        own_redis.url,
        folder,
        quiet=True,
        SENTRY_DSN=heard.dsn,
        PYTHONPATH=str(BROKEN),
        WA_BROKEN_NEXT_HOOK=str(HOOK_DIRECTORY / "sitecustomize.py"),
    ) as stack:
        yield stack


def tags(event: Event) -> dict[str, Any]:
    wanted = ("component", "operation", "companyId", "method", "failure")
    return {name: value for name, value in event.get("tags", {}).items() if name in wanted}


def of(operation: str) -> Any:
    return lambda event: event.get("tags", {}).get("operation") == operation


async def test_a_failure_of_ours_arrives_once_with_its_tags_and_the_masked_phone(told: Stack, heard: Sink) -> None:
    number = new_number()
    await told.emulator.arm("connect-http-error", tag=told.tag, status=502)
    link = await told.link()
    async with told.socket(link) as socket:
        await socket.send("request-pairing-code", phoneNumber=number)
        await socket.state("failed")
    event = await heard.event(of("linking"))
    assert tags(event) == {
        "component": "worker",
        "operation": "linking",
        "companyId": link["company"],
        "method": "code",
        "failure": "connection-failed",
    }
    assert event["extra"]["phone"].startswith("+7 ")
    assert event["extra"]["phone"].endswith(f"{number[-4:-2]} {number[-2:]}")
    assert number.lstrip("+") not in heard.raw
    assert link["token"] not in heard.raw


async def test_a_dead_linker_is_one_event_of_the_engine_and_the_onboarding_goes_on(told: Stack, heard: Sink) -> None:
    link = await told.link()
    async with told.socket(link) as socket:
        await socket.send("request-qr")
        await socket.snapshot(lambda s: "qr" in s)
        line = await told.worker.said("attempt.connecting", session=link["session"])
        os.kill(line["linker"], signal.SIGKILL)
        await socket.state("connecting")
        await socket.snapshot(lambda s: "qr" in s)
    event = await heard.event(of("linker"))
    assert tags(event) == {
        "component": "engine",
        "operation": "linker",
        "companyId": link["company"],
        "method": "qr",
    }
    assert event["extra"]["signal"] == 9


async def test_a_dead_holder_is_one_event_of_the_engine(told: Stack, heard: Sink) -> None:
    link, _ = await told.linked()
    await told.worker.said("session.logged-in", session=link["session"])
    holder = (await told.worker.said("holder.started"))["holder"]
    os.kill(holder, signal.SIGKILL)
    assert tags(await heard.event(of("holder"))) == {"component": "engine", "operation": "holder"}


async def test_a_dead_zygote_is_one_event_of_the_engine(told: Stack, heard: Sink) -> None:
    zygote = told.worker.zygote()
    zygote.kill()
    assert tags(await heard.event(of("zygote"))) == {"component": "engine", "operation": "zygote"}


async def test_an_onboarding_that_lost_its_worker_is_told_by_the_one_who_swept_it(told: Stack, heard: Sink) -> None:
    number = new_number()
    link = await told.link()
    await told.emulator.arm("restart-late", phone=number.lstrip("+"), delay=30)
    async with told.socket(link) as socket:
        await socket.send("request-qr")
        shown = await socket.snapshot(lambda s: "qr" in s)
        await told.emulator.phone(number).scan(shown["qr"]["text"])
        await socket.state("linking")
        await told.worker.kill()
        await told.start_worker()
        await socket.state("failed")
    assert tags(await heard.event(of("sweep"))) == {
        "component": "worker",
        "operation": "sweep",
        "companyId": link["company"],
        "method": "qr",
        "failure": "worker-lost",
    }


async def test_an_onboarding_past_its_time_is_told_by_the_one_who_closed_it(told: Stack, heard: Sink) -> None:
    session = SessionId((await told.link())["session"])
    body = b'{"state":"connecting","method":"qr","deadline":1}'
    await told.redis.hset(keys.snapshot(session), mapping={"attempt": 1, "seq": 1, "body": body})
    await told.redis.zadd(keys.CLAIMS, {session: 1})
    await enqueue(client(told.redis.connection_pool), keys.QUEUE_SESSIONS, "sweep", job_id="sweep:now")
    event = await heard.event(of("overdue"))
    assert event["tags"]["failure"] == "worker-lost"
    assert event["tags"]["component"] == "worker"


async def test_a_job_that_fails_arrives_once_is_counted_and_stands_in_the_stream(told: Stack, heard: Sink) -> None:
    redis = client(told.redis.connection_pool)
    await enqueue(redis, keys.QUEUE_SESSIONS, "unlink", "company_no such", job_id="unlink:broken")
    event = await heard.event(of("job.unlink"))
    assert tags(event) == {"component": "worker", "operation": "job.unlink"}
    assert event["extra"]["errorType"] == "ValueError"
    found = await until(lambda: told.redis.xrange(keys.FAILED_JOBS))
    assert len(found) == 1
    assert found[0][1][b"error"] == b"ValueError"
    assert (await stats(told))['job_failures{job="unlink"}'] == 1


async def test_a_bug_in_web_arrives_once_from_a_socket_and_from_the_api(told: Stack, heard: Sink) -> None:
    link = await told.link(BROKEN_COMPANY)
    async with told.socket(link) as socket:
        await socket.send("request-qr")
        assert (await socket.error())["code"] == "internal"
    event = await heard.event(of("command"))
    assert tags(event) == {"component": "web", "operation": "command", "companyId": link["company"]}
    assert (await told.http.delete(f"/api/v1/companies/{link['company']}/session")).status_code == 500
    event = await heard.event(of("api.unlink"))
    assert tags(event) == {"component": "web", "operation": "api.unlink", "companyId": link["company"]}


async def test_the_mistakes_of_people_and_what_whatsapp_does_to_them_page_nobody(told: Stack, heard: Sink) -> None:
    number, other = new_number(), new_number()
    link = await told.link(phoneNumber=number)
    async with told.socket(link) as socket:
        await socket.send("request-pairing-code", phoneNumber="12")
        await socket.error()
        await socket.send("request-pairing-code", phoneNumber=other)
        await socket.error()
        await socket.send("nonsense")
        await socket.error()
        await socket.send("request-qr")
        shown = await socket.snapshot(lambda s: "qr" in s)
        await told.emulator.phone(other).scan(shown["qr"]["text"])
        assert (await socket.state("failed"))["failure"]["code"] == "wrong-number"
        await socket.send("request-qr")
        await socket.snapshot(lambda s: "qr" in s)
        await socket.send("cancel")
        await socket.state("cancelled")
    assert (await told.http.post("/api/v1/links", json={"companyId": "no such"})).status_code == 422
    assert (await told.http.get("/api/v1/companies/a", headers={"Authorization": "Bearer wrong"})).status_code == 401
    # Something to be heard after all that: then nothing of it can still be on its way.
    redis = client(told.redis.connection_pool)
    await enqueue(redis, keys.QUEUE_SESSIONS, "unlink", "company_no such", job_id="unlink:last")
    await heard.event(of("job.unlink"))
    link = await told.link(BROKEN_COMPANY)
    async with told.socket(link) as socket:
        await socket.send("request-qr")
        await socket.error()
    await heard.event(of("command"))
    assert {one["tags"]["operation"] for one in heard.events} == {"job.unlink", "command"}
