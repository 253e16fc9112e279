"""Every counter moves exactly once for what it counts, whatever happens to clicks and workers meanwhile."""

import asyncio
import re
from collections import Counter

import pytest

from shared.telemetry.metrics import ENGINE
from tests.e2e.stack import Stack, new_number
from tests.operators.conftest import stats
from tests.waiting import until

pytestmark = [pytest.mark.asyncio(loop_scope="session")]


def funnel(stage: str, method: str, region: str) -> str:
    return f'funnel{{engine="{ENGINE}",method="{method}",region="{region}",stage="{stage}"}}'


async def metrics(stack: Stack) -> dict[str, float]:
    text = (await stack.http.get("/metrics")).text
    return {name: float(value) for name, value in re.findall(r"^([^#\s]+(?:\{[^}]*\})?) (\S+)$", text, re.MULTILINE)}


async def test_a_linking_by_qr_moves_each_of_its_counters_once_however_often_it_is_clicked(own: Stack) -> None:
    link = await own.link()
    async with own.socket(link) as one, own.socket(link) as other:
        await asyncio.gather(*(socket.send("request-qr") for socket in (one, other, one, other)))
        shown = await one.snapshot(lambda s: "qr" in s)
        await own.emulator.phone(new_number()).scan(shown["qr"]["text"])
        await one.state("linked")
    assert await stats(own) == {
        'attempts{method="qr"}': 1,
        "qr_codes_shown": 1,
        'linked{method="qr",region="RU"}': 1,
        'endings{state="linked"}': 1,
        **{funnel(stage, "qr", "ZZ"): 1 for stage in ("started", "shown", "agreed", "linked")},
    }
    now = await metrics(own)
    assert now['wa_attempts_total{method="qr"}'] == 1
    assert now['wa_click_to_shown_seconds_count{method="qr"}'] == 1
    assert now['wa_shown_to_linked_seconds_count{method="qr"}'] == 1
    assert 0 < now['wa_click_to_shown_seconds_sum{method="qr"}'] < 20
    assert now['wa_click_to_shown_seconds_bucket{le="+Inf",method="qr"}'] == 1
    assert now["wa_queue_length"] == 0
    assert now["wa_leases_without_heartbeat"] == 0
    assert now["wa_workers"] == 1


async def test_a_linking_by_code_after_a_qr_is_one_switch_one_code_and_one_success(own: Stack) -> None:
    number = new_number()
    link = await own.link()
    async with own.socket(link) as socket:
        await socket.send("request-qr")
        await socket.snapshot(lambda s: "qr" in s)
        for _ in range(3):
            await socket.send("request-pairing-code", phoneNumber=number)
        shown = await socket.snapshot(lambda s: "code" in s)
        await own.emulator.phone(number).type_code(shown["code"]["text"])
        await socket.state("linked")
    found = await stats(own)
    assert found == {
        'attempts{method="qr"}': 1,
        "qr_codes_shown": 1,
        "qr_to_code_switches": 1,
        'pairing_codes_generated{region="RU"}': 1,
        "pairing_code_successes": 1,
        'linked{method="code",region="RU"}': 1,
        'endings{state="linked"}': 1,
        funnel("started", "qr", "ZZ"): 1,
        funnel("shown", "qr", "ZZ"): 1,
        funnel("shown", "code", "RU"): 1,
        funnel("agreed", "code", "RU"): 1,
        funnel("linked", "code", "RU"): 1,
    }
    now = await metrics(own)
    assert now['wa_click_to_shown_seconds_count{method="code"}'] == 1
    assert now['wa_shown_to_linked_seconds_count{method="code"}'] == 1


async def test_a_killed_worker_counts_nothing_twice(own: Stack) -> None:
    link = await own.link()
    async with own.socket(link) as socket:
        await socket.send("request-qr")
        first = await socket.snapshot(lambda s: "qr" in s)
        await own.start_worker()
        await own.workers[0].kill()
        again = await socket.snapshot(lambda s: "qr" in s and s["attempt"] > first["attempt"], seconds=30)
        await own.emulator.phone(new_number()).scan(again["qr"]["text"])
        await socket.state("linked")
    found = await stats(own)
    assert found.pop('swept{kind="worker"}', 1) == 1  # buried by the next sweep, perhaps
    assert found.pop("qr_codes_shown") == 2  # two were shown
    assert found == {
        'attempts{method="qr"}': 1,
        'swept{kind="attempt"}': 1,
        'linked{method="qr",region="RU"}': 1,
        'endings{state="linked"}': 1,
        **{funnel(stage, "qr", "ZZ"): 1 for stage in ("started", "shown", "agreed", "linked")},
    }
    now = await metrics(own)
    assert now['wa_click_to_shown_seconds_count{method="qr"}'] == 1
    assert now['wa_shown_to_linked_seconds_count{method="qr"}'] == 1


async def test_a_refused_code_is_a_code_failure_by_reason_and_no_ending(own: Stack) -> None:
    number = new_number()
    await own.emulator.arm("code-refused", phone=number.lstrip("+"), status=429)
    link = await own.link()
    async with own.socket(link) as socket:
        await socket.send("request-pairing-code", phoneNumber=number)
        await socket.until(lambda m: m["type"] == "pairing-code-error")
        assert (await stats(own))['pairing_code_failures{reason="whatsapp-rate-limited"}'] == 1
        assert not [name for name in await stats(own) if name.startswith(("endings", "pairing_codes_generated"))]
        await socket.send("cancel")
        await socket.state("cancelled")
    assert (await stats(own))['endings{state="cancelled"}'] == 1


async def test_each_attempt_ends_once_by_whatever_way(own: Stack) -> None:
    """Failed, cancelled while it is shown, and a command that is refused at once."""
    link = await own.link()
    async with own.socket(link) as socket:
        await own.emulator.arm("connect-refused", tag=own.tag, status=405)
        await socket.send("request-qr")
        failed = await socket.state("failed")
        code = failed["failure"]["code"]
        await socket.send("request-qr")
        await socket.snapshot(lambda s: "qr" in s)
        await socket.send("cancel")
        await socket.send("cancel")
        await socket.state("cancelled")
        await socket.send("request-pairing-code", phoneNumber="123")
        await socket.error()
    found = await until(lambda: _with(own, 'refused_commands{code="invalid-phone"}'))
    assert found['attempts{method="qr"}'] == 2
    assert found[f'failures{{code="{code}",region="ZZ"}}'] == 1
    assert found['endings{state="failed"}'] == 1
    assert found['endings{state="cancelled"}'] == 1
    assert found['refused_commands{code="invalid-phone"}'] == 1
    endings = sum(value for name, value in found.items() if name.startswith("endings"))
    assert endings == sum(value for name, value in found.items() if name.startswith("attempts"))


async def test_a_device_that_is_lost_at_once_is_one_drop_and_one_failure(own: Stack) -> None:
    link, number = await own.linked()
    await own.worker.said("session.logged-in", session=link["session"])
    before = await stats(own)
    await own.emulator.phone(number).logout()
    found = await until(lambda: _with(own, "dropped"))
    assert found - before == {"dropped": 1, 'failures{code="dropped-after-linking",region="RU"}': 1}


async def _with(stack: Stack, name: str) -> Counter[str]:
    found = await stats(stack)
    return found if found[name] else Counter()
