"""Each request of the API is done once, whether it comes once or twice."""

import asyncio

import pytest
from fakeredis import FakeServer

from app import openapi
from app.http.operations import IDEMPOTENCY_KEY
from shared.core import keys
from shared.core.ids import SessionId
from tests.unit.api.service import BODIES, COMPANY, Service, receiver_of
from tests.unit.twice import left_by

WITH_KEY = [one for one in openapi.ALL if IDEMPOTENCY_KEY in one.takes]
IDEMPOTENT = [one for one in openapi.ALL if one.method in {"PUT", "DELETE"} or one.name == "resend"]


def test_every_request_that_makes_something_takes_a_key_or_needs_none():
    writes = [one.name for one in openapi.ALL if one.method not in {"GET", "HEAD"}]
    assert sorted(writes) == sorted(one.name for one in (*WITH_KEY, *IDEMPOTENT))


@pytest.mark.parametrize("operation", [*WITH_KEY, *IDEMPOTENT], ids=lambda one: one.name)
async def test_a_request_that_comes_again_is_answered_alike_and_done_once(operation):
    left, answers = [], []
    for times in (1, 2):
        service = Service(FakeServer())
        if operation.name == "send":
            await service.link()
        await receiver_of(service, COMPANY)
        given = {"json": BODIES[operation.name]} if operation.body else {}
        headers = {"idempotency-key": "k"} if operation in WITH_KEY else {}
        said = [await service(operation, headers=headers, **given) for _ in range(times)]
        answers.append([one.status_code for one in said])
        left.append(await left_by(service.redis))
        if operation in WITH_KEY and operation.name != "start_attempt":
            assert said[0].json().get("id") == said[-1].json().get("id")
        await service.redis.aclose(close_connection_pool=True)
    assert len(set(answers[0] + answers[1])) == 1
    assert left[0] == left[1]


async def test_a_text_that_is_asked_for_twice_at_once_is_kept_once():
    service = Service(FakeServer())
    await service.link()
    send = next(one for one in WITH_KEY if one.name == "send")
    asked = [service(send, headers={"idempotency-key": "k"}, json=BODIES["send"]) for _ in range(5)]
    said = await asyncio.gather(*asked)
    assert len({one.json()["id"] for one in said}) == 1
    assert len(await service.redis.lrange(keys.outbox(SessionId(f"company_{COMPANY}")), 0, -1)) == 1
    await service.redis.aclose(close_connection_pool=True)
