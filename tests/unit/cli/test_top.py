"""`onboarding top`: what it shows is what is counted, and what it costs does not grow with the sessions."""

import io

import orjson
import pytest
from rich.console import Console

from app.cli import top
from app.cli.terminal import Operator
from shared.core import keys
from shared.core.clock import now_ms
from shared.core.ids import WorkerId
from shared.telemetry.metrics import Counter, field

WORKER = WorkerId("vm-1-abcdef")


@pytest.fixture
def op(redis):
    return Operator(redis, None, Console(file=io.StringIO(), width=160))


async def ended(redis, kind, company, **about):
    body = orjson.dumps({"companyId": company, **about})
    await redis.xadd(keys.FEED, {"type": kind, "body": body})


async def seen(redis):
    await redis.zadd(keys.WORKERS, {WORKER: now_ms()})
    await redis.hset(
        keys.worker(WORKER), mapping={"attempts": 2, "maxAttempts": 50, "sessions": 7, "maxSessions": 1000}
    )
    await redis.hset(
        keys.STATS, mapping={field(Counter.ATTEMPTS, method="qr"): 3, field(Counter.ATTEMPTS, method="code"): 2}
    )
    await redis.zadd(keys.QUEUE_LINKING, {"link:company_a:1": now_ms() - 12_000})
    await ended(redis, "session.linked", "aurora")
    await ended(redis, "message.sent", "aurora")
    await ended(redis, "onboarding.failed", "[/]", failure={"code": "pairing-refused"})


def drawn(screen):
    out = io.StringIO()
    Console(file=out, width=160, highlight=False).print(screen)
    return out.getvalue()


async def test_it_shows_workers_queue_counts_and_the_newest_endings(op):
    await seen(op.redis)
    first = await top.look(op)
    await op.redis.hincrby(keys.STATS, field(Counter.ATTEMPTS, method="qr"), 4)
    now = await top.look(op)
    text = drawn(top.screen(now, first))
    assert WORKER in text
    assert "onboardings 2 of 50, 1 wait, the first since 12 s" in text
    assert "sessions 7 of 1000" in text
    assert ["attempts", "9", "4"] in [line.split() for line in text.splitlines()]
    endings = text[text.index("Endings") :]
    assert endings.index("pairing-refused") < endings.index("aurora")
    assert "[/]" in endings
    assert "message" not in endings
    assert now.data()["endings"][0] == {
        "at": now.endings[0]["at"],
        "company": "[/]",
        "event": "onboarding.failed",
        "why": "pairing-refused",
    }


async def test_nothing_that_anybody_wrote_into_the_feed_breaks_it(op):
    for kind, body in (
        ("session.linked", b"no json"),
        ("session.linked", b"[]"),
        ("session.linked", b'{"failure": 1}'),
    ):
        await op.redis.xadd(keys.FEED, {"type": kind, "body": body})
    await op.redis.xadd(keys.FEED, {b"\xff": b"\xff"})
    look = await top.look(op)
    assert look.endings == []
    assert "no worker is alive" in drawn(top.screen(look, look))


async def test_a_look_of_top_scans_no_keys(op, monkeypatch):
    await seen(op.redis)
    said = []
    execute = type(op.redis).execute_command

    async def noted(self, *words, **options):
        said.append(words[0])
        return await execute(self, *words, **options)

    monkeypatch.setattr(type(op.redis), "execute_command", noted)
    assert not (await top.top(op, once=True, interval=1)).ill
    assert {"KEYS", "SCAN"} & set(said) == set()
    assert said == ["XREVRANGE"], "besides the two pipelines that count"
