"""What the library keeps to its log reaches those whom it concerns: the timeline, `doctor`, the metrics, Sentry."""

import json
from pathlib import Path
from typing import Any

import pytest

from app.local.redis import LocalRedis
from emulator.client import Emulator
from shared.core import keys
from tests.e2e.stack import Stack
from tests.operators.conftest import Command
from tests.operators.sink import Sink
from tests.waiting import until
from tests.world.fleet import Fleet

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(240)]


async def test_what_befalls_a_session_in_silence_is_told(
    emulator: Emulator, own_redis: LocalRedis, folder: Path
) -> None:
    async with (
        Sink.running() as sink,
        Stack.running(emulator, own_redis.url, folder, SENTRY_DSN=sink.dsn) as stack,
    ):
        fleet = Fleet(stack)
        await fleet.link(3)
        (odd, refused, deaf), links = fleet.numbers, fleet.links
        for link in links:  # else a fault strikes the login of the hand-over, which the cut may end before it is heard
            await stack.worker.said("session.logged-in", session=link["session"])
        await emulator.arm("stream-error", phone=odd, status=516)
        await emulator.arm(
            "login-refused", phone=refused, status=429, times=2, header="Slow down", subtext="Try again later"
        )
        await emulator.arm("media-unreachable", tag=stack.tag, times=None)
        await emulator.phone(deaf).live("history", messages=10, chats=2)
        for number in (odd, refused):
            await emulator.cut(phone=number)

        assert await until(lambda: _told(stack, links[0], "session.stream-error", "516"))
        said = "connection-failed: 429: Slow down / Try again later"
        assert await until(lambda: _told(stack, links[1], "session.refused", said))
        assert await until(lambda: _told(stack, links[2], "session.file-missed", ""), seconds=60)

        assert await until(lambda: _metrics(stack, "wa_workers_without_media 1.0"), seconds=60)
        # Of the others, whose phones lead ordinary lives, some may want a file as well.
        metrics = await until(lambda: _metrics_of_missed(stack, links), seconds=60)
        assert 'wa_stream_errors_total{code="516"} 1.0' in metrics
        assert "media host is away" in await until(lambda: _doctor_of_missed(stack, links))
        assert await until(lambda: "stream-error: 516" in [event.get("message") for event in sink.events])


async def _told(stack: Stack, link: dict[str, Any], event: str, detail: str) -> bool:
    lines = map(json.loads, await stack.redis.lrange(keys.timeline(link["session"]), 0, -1))
    return any((line["event"], line["detail"]) == (event, detail) for line in lines)


async def _missed(stack: Stack, links: list[dict[str, Any]]) -> int:
    return sum([await _told(stack, link, "session.file-missed", "") for link in links])


async def _metrics_of_missed(stack: Stack, links: list[dict[str, Any]]) -> str:
    return await _metrics(stack, f"wa_sessions_without_media {await _missed(stack, links)}.0")


async def _doctor_of_missed(stack: Stack, links: list[dict[str, Any]]) -> str:
    said = (await Command(stack)("doctor", well=False)).out
    return said if f"{await _missed(stack, links)} session(s) miss a file" in said else ""


async def _metrics(stack: Stack, line: str) -> str:
    text = (await stack.http.get("/metrics")).text
    return text if line in text else ""
