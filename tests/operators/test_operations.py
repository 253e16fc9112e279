"""docs/operations.md tells the truth: each of its lines is run against a service in the state that the page describes."""

import shutil
from pathlib import Path

import pytest
from pydantic import SecretStr

from app.local.redis import LocalRedis
from emulator.client import Emulator
from shared.core import keys
from shared.core.clock import now_ms
from shared.jobs.queue import client, enqueue
from shared.state.cooldowns import Cooldowns
from tests.e2e.stack import Stack
from tests.operators.transcript import ROOT, Document, Shell
from tests.waiting import until

pytestmark = [pytest.mark.asyncio(loop_scope="session")]

ELMS_PHONE = "+79160000001"


async def test_every_line_of_the_operations_page_says_what_stands_there(
    emulator: Emulator, own_redis: LocalRedis, folder: Path
) -> None:
    if shutil.which("redis-cli") is None:
        pytest.skip("NO redis-cli on this machine: install redis-tools")
    page = Document(ROOT / "docs" / "operations.md")
    async with Stack.running(emulator, own_redis.url, folder, quiet=True, MAX_ATTEMPTS="1") as stack:
        await emulator.arm("connect-refused", tag=stack.tag, status=403)
        async with stack.socket(await stack.link("dune")) as socket:
            await socket.send("request-qr")
            await socket.state("failed")
        await emulator.arm("code-refused", phone=ELMS_PHONE.lstrip("+"), status=429)
        async with stack.socket(await stack.link("elm")) as socket:
            await socket.send("request-pairing-code", phoneNumber=ELMS_PHONE)
            await socket.until(lambda m: m["type"] == "pairing-code-error")
            await socket.send("cancel")
            await socket.state("cancelled")
        redis = client(stack.redis.connection_pool)
        await enqueue(redis, keys.QUEUE_SESSIONS, "unlink", "company_no such", job_id="unlink:broken")
        await until(lambda: stack.redis.exists(keys.FAILED_JOBS))
        # The last of all that is done: a minute later aurora is verified, and its timeline says so.
        async with stack.socket(await stack.link("aurora")) as socket:
            await socket.send("request-qr")
            shown = await socket.snapshot(lambda s: "qr" in s)
            await emulator.phone("+79160000000").scan(shown["qr"]["text"])
            await socket.state("linked")
        await stack.worker.said("session.logged-in", session="company_aurora")
        async with (
            stack.socket(await stack.link("birch")) as birch,
            stack.socket(await stack.link("cedar")) as cedar,
        ):
            await birch.send("request-qr")
            await birch.snapshot(lambda s: "qr" in s)
            await cedar.send("request-qr")
            await cedar.state("queued")
            await until(lambda: _reported(stack, attempts=1, sessions=1))
            shell = Shell(stack.environment)
            steps = [step for head in _heads(page) for step in page.section(head)]
            cooldowns, wrong = Cooldowns(stack.redis, SecretStr(stack.environment["SECRET_KEY"])), list[str]()
            for step in steps:
                if step.command.startswith("onboarding cooldowns"):  # a minute, which may have passed on the way here
                    await cooldowns.until(ELMS_PHONE, now_ms() + keys.MINUTE)
                wrong += await page.check(step, await shell(step.command))
                if "PUBLISH wa:switch" in step.command:
                    await until(lambda: _is_on_record(stack))  # else the next command puts it there
            assert not wrong, "\n\n".join(wrong)


def _heads(page: Document) -> list[str]:
    return ["# Operations"] if page.text.startswith("# ") else []


async def _reported(stack: Stack, **wanted: int) -> bool:
    """Whether the worker's last report says so; it reports every ten seconds."""
    (worker,) = await stack.redis.zrange(keys.WORKERS, 0, -1)
    found = await stack.redis.hmget(f"wa:worker:{worker.decode()}", list(wanted))
    return [int(one or -1) for one in found] == list(wanted.values())


async def _is_on_record(stack: Stack) -> bool:
    """Whether some process has looked at the switches as they are now."""
    return bool(await stack.redis.hgetall(keys.SWITCH_SEEN) == await stack.redis.hgetall(keys.SWITCH))
