"""Each switch does what it says, on every process at once, and is on record whoever threw it."""

import asyncio

import pytest

from shared.core import keys
from shared.state.switches import Board, UnknownSwitch, checked
from tests.e2e.stack import Stack, new_number
from tests.operators.conftest import Command

pytestmark = [pytest.mark.asyncio(loop_scope="session")]


async def test_pause_refuses_those_who_come_and_ends_those_who_wait_and_lets_the_others_go_on(
    own: Stack, command: Command
) -> None:
    await own.workers[0].stop()
    await own.start_worker(MAX_ATTEMPTS="1")
    running, waiting, late = await own.link(), await own.link(), await own.link()
    async with own.socket(running) as one, own.socket(waiting) as two, own.socket(late) as three:
        await one.send("request-qr")
        shown = await one.snapshot(lambda s: "qr" in s)
        await two.send("request-qr")
        await two.state("queued")
        await command("switch", "on", "pause", "--why", "a test")
        await three.send("request-qr")
        assert (await three.error())["code"] == "paused"
        await own.emulator.phone(new_number()).scan(shown["qr"]["text"])
        await one.state("linked")
        assert (await two.state("failed"))["failure"]["code"] == "paused"
        await command("switch", "off", "pause")
        await three.send("request-qr")
        await three.snapshot(lambda s: "qr" in s)


async def test_no_code_is_asked_for_where_codes_are_switched_off_not_even_for_an_attempt_that_runs(
    own: Stack, command: Command
) -> None:
    link = await own.link()
    number, kazakh = new_number(), "+77011234567"
    async with own.socket(link) as socket:
        await socket.send("request-qr")
        await socket.snapshot(lambda s: "qr" in s)
        await command("switch", "on", "qr-only")
        await socket.send("request-pairing-code", phoneNumber=number)
        assert (await socket.error())["code"] == "code-not-available"
        await command("switch", "off", "qr-only")
        await command("switch", "on", "region:kz")
        await socket.send("request-pairing-code", phoneNumber=kazakh)
        assert (await socket.error())["code"] == "code-not-available"
        await socket.send("request-pairing-code", phoneNumber=number)
        await socket.snapshot(lambda s: "code" in s)


async def test_the_log_level_changes_on_every_process_and_back(own: Stack, command: Command) -> None:
    await command("switch", "on", "log-level", "debug")
    await asyncio.gather(
        own.web.said("log.level-changed", to="debug"), own.worker.said("log.level-changed", to="debug")
    )
    await command("switch", "off", "log-level")
    await asyncio.gather(own.web.said("log.level-changed", to="info"), own.worker.said("log.level-changed", to="info"))


async def test_a_switch_thrown_by_hand_is_on_record_once_and_obeyed(own: Stack, command: Command) -> None:
    await own.redis.hset(keys.SWITCH, "log-level", "warning")
    await own.redis.publish(keys.SWITCH_CHANNEL, "log-level")
    await asyncio.gather(
        own.web.said("log.level-changed", to="warning"), own.worker.said("log.level-changed", to="warning")
    )
    record = await own.redis.xrange(keys.OPERATORS)
    assert [(fields[b"event"], fields[b"what"], fields[b"by"]) for _, fields in record] == [
        (b"switch.on", b"log-level", b"redis-cli")
    ]
    await own.redis.hset(keys.SWITCH, "log-level", "nonsense")
    await own.redis.publish(keys.SWITCH_CHANNEL, "log-level")
    await own.web.said("log.level-changed", to="info")  # what is no level is no switch


async def test_a_drained_worker_hands_everything_over_and_ends(own: Stack, command: Command) -> None:
    link, _ = await own.linked()
    await own.worker.said("session.logged-in", session=link["session"])
    other = await own.start_worker()
    said = await command("drain", (await own.workers[0].said("worker.started"))["worker"], "--json")
    assert said.json["gone"]
    assert await own.workers[0].ended() == 0
    await other.said("session.logged-in", session=link["session"])
    assert await own.redis.hgetall(keys.SWITCH) == {}
    events = [fields[b"event"] for _, fields in await own.redis.xrange(keys.OPERATORS)]
    assert sorted(events) == [b"switch.off", b"switch.on", b"worker.stopped"]


async def test_what_is_no_switch_cannot_be_thrown() -> None:
    assert checked("region:kz") == ("region:KZ", "on")
    for name, value in (
        ("pauze", "on"),
        ("region:XX", "on"),
        ("log-level", "loud"),
        ("pause", "maybe"),
        ("drain:", "on"),
    ):
        with pytest.raises(UnknownSwitch):
            checked(name, value)
    assert Board({"region:KZ": "on"}).codes_blocked("KZ")
    assert not Board({"region:KZ": "on"}).codes_blocked("RU")
