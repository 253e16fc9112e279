"""WhatsApp is 100 ms away, and life goes on: linking by QR and by code, texts, a cut, texts again.

Answers that come at once hide most of what goes wrong.
"""

from pathlib import Path

import pytest

from app.local.redis import LocalRedis
from emulator.client import Emulator
from tests.e2e.stack import Stack, new_number
from tests.world.fleet import Fleet

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(240)]

AWAY, LIFE = 0.1, 0.1
"""Seconds for every answer; and at every tenth stanza something ordinary happens."""


async def test_everything_works_as_well_far_from_whatsapp(
    emulator: Emulator, own_redis: LocalRedis, folder: Path
) -> None:
    async with Stack.running(emulator, own_redis.url, folder) as stack:
        await emulator.settings(stack.tag, answer_delay=AWAY, life=LIFE)
        fleet = Fleet(stack)
        await fleet.link(3)
        number, link = new_number(), await stack.link()
        async with stack.socket(link) as socket:
            await socket.send("request-pairing-code", phoneNumber=number)
            shown = await socket.snapshot(lambda s: "code" in s)
            assert await emulator.phone(number).type_code(shown["code"]["text"]) == "confirmed"
            await socket.state("linked")
        fleet.links.append(link)
        fleet.numbers.append(number.lstrip("+"))
        await fleet.send_each("from far away")
        await fleet.has_arrived("from far away")
        before = await emulator.now()
        await emulator.cut(tag=stack.tag)
        await fleet.send_each("and back again")
        await fleet.all_logged_in(before)
        await fleet.has_arrived("and back again")
        wrong = ("client.violation", "emulator.failed")
        seen = await emulator.events(tag=stack.tag)
        assert [event.detail for event in seen if event.kind in wrong] == []
