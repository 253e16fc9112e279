"""One attempt, with the real library in a real process, against the emulator."""

import asyncio
import signal
import time
from pathlib import Path

import pytest

from emulator.faults import Fault
from emulator.phone.phone import Outcome
from tests.engine.steps import GOOD_END, Steps, gone, story, until
from tests.recovery import at_most
from workers.engine.devices import device_in, settle
from workers.engine.processes import Exited
from workers.engine.protocol import Code, Connected, Ended, Paired, Qr, RequestCode, Start, Word


async def test_a_scan_links_and_leaves_one_file_with_the_device(steps: Steps):
    linker = await steps.pool.take()
    database = steps.database()
    await linker.send(Start(database=database))
    phone = steps.phone()
    qr = await until(linker, Qr)
    assert qr.number == 1
    assert await phone.scan(qr.text) == Outcome.CONFIRMED

    success, paired, connected, exited = await story(linker)

    assert success == Word(word="success")
    assert isinstance(paired, Paired)
    assert paired.jid == f"{phone.number}:1@s.whatsapp.net"
    assert paired.lid.endswith("@lid")
    assert (connected, exited) == (Connected(), GOOD_END)
    settle(database)
    assert [file.name for file in steps.folder.iterdir()] == [Path(database).name]
    assert device_in(database, paired.jid)
    [device] = await phone.devices()
    assert device["os"] == "Salon Vesna"
    assert device["prekeys"] > 800


async def test_a_new_device_asks_for_the_least_history_that_can_be_said(steps: Steps):
    async with steps.attempt() as linker:
        await until(linker, Qr)
    registered = await steps.emulator.wait_for("client.registered", tag=steps.tag)
    wished = {name: registered.detail[name] for name in ("full_sync", "full_days", "full_mb", "recent_days")}
    assert wished == {"full_sync": False, "full_days": 1, "full_mb": 1, "recent_days": 1}
    assert registered.detail["messages_a_chat"] == 1
    assert (registered.detail["os"], registered.detail["platform"]) == ("Salon Vesna", 1)


@pytest.mark.parametrize(
    ("fault", "status", "word"),
    [
        (Fault.CONNECT_REFUSED, 405, "err-client-outdated"),
        (Fault.CONNECT_REFUSED, 402, "err-unexpected-state"),
        (Fault.CONNECT_REFUSED, 401, "err-unexpected-state"),
        (Fault.CONNECT_REFUSED, 403, "err-unexpected-state"),
        (Fault.CONNECT_REFUSED, 503, "timeout"),
        (Fault.REFS_CUT, None, "timeout"),
    ],
)
async def test_a_server_that_refuses_shows_as_a_word_only(steps: Steps, fault, status, word):
    await steps.emulator.arm(fault, tag=steps.tag, status=status)
    async with steps.attempt() as linker:
        said = "402 (code 101)" if status == 402 else ""  # a ban, by the library's log
        assert await story(linker) == [Word(word=word, said=said), Ended(reason=word), GOOD_END]


@pytest.mark.parametrize("fault", [Fault.PAIR_WRONG_HMAC, Fault.PAIR_WRONG_SIGNATURE])
async def test_a_forged_consent_is_an_error(steps: Steps, fault):
    phone = steps.phone()
    await steps.emulator.arm(fault, tag=steps.tag)
    async with steps.attempt() as linker:
        await phone.scan((await until(linker, Qr)).text)
        assert await story(linker) == [Word(word="error"), Ended(reason="error"), GOOD_END]


async def test_a_server_that_goes_while_the_qr_is_shown_ends_the_attempt(steps: Steps):
    async with steps.attempt() as linker:
        await until(linker, Qr)
        await steps.emulator.cut(tag=steps.tag)
        assert await story(linker) == [Word(word="timeout"), Ended(reason="timeout"), GOOD_END]


async def test_a_dial_that_fails_ends_the_attempt_at_once_with_the_reason(steps: Steps):
    await steps.emulator.arm(Fault.CONNECT_HTTP_ERROR, tag=steps.tag, status=502)
    async with steps.attempt() as linker:
        ended, exited = await story(linker)
    assert isinstance(ended, Ended)
    assert "Refused" in ended.reason or "502" in ended.reason
    assert steps.tag not in ended.reason  # the name and password of a proxy
    assert exited == GOOD_END


async def test_a_passkey_is_told_and_the_attempt_goes_on(steps: Steps):
    phone = steps.phone()
    await phone.behave(Fault.PHONE_PASSKEY)
    async with steps.attempt() as linker:
        await phone.scan((await until(linker, Qr)).text)
        assert await until(linker, Word) == Word(word="passkey-request")
        assert not linker.exited.done()


async def test_a_cancelled_attempt_is_gone_within_a_second(steps: Steps):
    linker = await steps.pool.take()
    await linker.send(Start(database=steps.database()))
    await until(linker, Qr)
    assert linker.pid is not None
    before = await steps.emulator.now()
    with at_most(1):
        assert await linker.kill() == Exited(code=None, signal=signal.SIGKILL)
    assert await gone(linker.pid, 0)
    await steps.emulator.wait_for("connection.closed", tag=steps.tag, after=before, seconds=1)


async def test_an_attempt_ends_when_its_worker_is_gone(steps: Steps):
    async with steps.attempt() as linker:
        await until(linker, Qr)
        linker.close()
        async with asyncio.timeout(2):
            assert await linker.exited == GOOD_END


@pytest.mark.slow
@pytest.mark.parametrize("fault", [Fault.CONNECT_SILENCE, Fault.HANDSHAKE_SILENCE, Fault.REFS_SILENCE])
async def test_a_server_that_says_nothing_ends_the_attempt_within_half_a_minute(steps: Steps, fault):
    await steps.emulator.arm(fault, tag=steps.tag)
    async with steps.attempt() as linker:
        ended, exited = (await story(linker, 35))[-2:]
    assert isinstance(ended, Ended)
    assert exited == GOOD_END


@pytest.mark.slow
async def test_the_qrs_follow_each_other_until_they_run_out(steps: Steps):
    """With two refs the client shows each for 20 s; with WhatsApp's six the first for 60 s, and 160 s in all."""
    await steps.emulator.settings(steps.tag, refs=2)
    async with steps.attempt() as linker:
        async with asyncio.timeout(60):
            first, clock = await anext(linker), host_clock_ms()
            second, went_back = await anext(linker), clock - host_clock_ms()
            word, ended, exited = await story(linker, 60)
    assert isinstance(first, Qr)
    assert isinstance(second, Qr)
    assert (first.number, second.number) == (1, 2)
    assert first.text != second.text
    assert 19_000 < second.born - first.born + went_back < 25_000
    assert (word, ended, exited) == (Word(word="timeout"), Ended(reason="timeout"), GOOD_END)


def host_clock_ms() -> float:
    """The host's clock, less the time that passes: it changes only if somebody sets the clock."""
    return (time.time() - time.monotonic()) * 1000


@pytest.mark.slow
@pytest.mark.parametrize("fault", [Fault.RESTART_SILENCE, Fault.RESTART_CUT])
async def test_silence_after_the_phones_consent_is_ended_by_a_new_login(steps: Steps, fault):
    phone = steps.phone()
    await steps.emulator.arm(fault, tag=steps.tag)
    async with steps.attempt() as linker:
        await phone.scan((await until(linker, Qr)).text)
        assert [type(event) for event in await story(linker)] == [Word, Paired, Connected, Exited]
    [device] = await phone.devices()
    assert device["prekeys"] > 800


async def test_a_device_that_the_server_never_heard_of_ends_as_logged_out(steps: Steps):
    phone = steps.phone()
    await steps.emulator.arm(Fault.PAIR_SIGN_LOST, tag=steps.tag)
    async with steps.attempt() as linker:
        await phone.scan((await until(linker, Qr)).text)
        events = await story(linker)
    assert isinstance(events[-2], Ended)
    assert events[-2].reason == "LOGGED_OUT"


async def test_a_waiting_attempt_costs_at_most_25_megabytes(steps: Steps):
    """Of its own: the library's code is shared with the other engine processes, of which there is always one."""
    async with steps.attempt() as first, steps.attempt() as second:
        for linker in (first, second):
            await until(linker, Qr)
        assert private_megabytes(first.pid) < 25
        assert private_megabytes(second.pid) < 25
        assert private_megabytes(steps.engines.pid) < 60


def private_megabytes(pid: int | None) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024


async def test_a_qr_is_written_and_logged_nowhere(steps: Steps, capfd, caplog):
    async with steps.attempt() as linker:
        await linker.send(RequestCode(phone=f"+{steps.phone().number}"))
        qr = await until(linker, Qr)
        code = await until(linker, Code)
        await steps.emulator.cut(tag=steps.tag)
        await story(linker)
    out, err = capfd.readouterr()
    for secret in (qr.text, qr.text.rsplit(",", 2)[1], code.text, code.text.replace("-", "")):
        assert secret not in out + err + caplog.text


async def test_two_starts_are_outside_the_protocol(steps: Steps):
    async with steps.attempt() as linker:
        await linker.send(Start(database=steps.database()))
        exited = (await story(linker))[-1]
    assert isinstance(exited, Exited)
    assert exited.code == 70
    assert "WrongMessage" in str(exited.panic)
