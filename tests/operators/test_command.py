"""Every command of `onboarding`, for people and for programs, beside the real service."""

import asyncio
import json
import signal
import subprocess
import sys

import click
import pytest

from app.cli.__main__ import main
from shared.core import keys
from shared.core.clock import now_ms
from shared.core.ids import SessionId
from shared.core.reference import reference_of
from shared.jobs.queue import client, enqueue
from shared.state.lease import LEASE_MS, Leases
from tests.e2e.stack import Stack, new_number
from tests.operators.conftest import ROOT, Command
from tests.waiting import until

pytestmark = [pytest.mark.asyncio(loop_scope="session")]

SAYS_NO_JSON = {"onboarding completion", "onboarding backup"}
"""One prints a shell's script, one writes a file."""
PASSED_ON = ("import", "export", "restore")
"""Commands whose words `workers.moving` reads."""


async def test_one_story_through_every_command(own: Stack, command: Command) -> None:
    made = (await command("link", "create", "aurora", "--name", "Salon Aurora", "--json")).json
    link = {"token": made["token"], "session": "company_aurora", "company": "aurora"}
    async with own.socket(link) as socket:
        await socket.send("request-qr")
        shown = await socket.snapshot(lambda s: "qr" in s)
        assert (await command("status", "aurora", "--json")).json["state"] == "awaiting_phone"
        secret = shown["qr"]["text"].split(",")[1]
        for words in (("status", "aurora"), ("sessions",), ("queue",), ("timeline", "aurora")):
            for form in ((), ("--json",)):
                assert secret not in (await command(*words, *form)).out
        served = (await command("queue", "--json")).json
        assert [one["session"] for one in served["served"]] == ["company_aurora"]
        await own.emulator.phone(new_number()).scan(shown["qr"]["text"])
        await socket.state("linked")
    await own.worker.said("session.logged-in", session="company_aurora")
    await until(lambda: _reported(own))

    status = (await command("status", "--json")).json
    assert status["ill"] == []
    assert status["sessions"]["held"] == 1
    assert "All is well." in (await command("status")).out
    (worker,) = (await command("workers", "--json")).json
    assert worker["alive"]
    assert worker["sessions"] == 1
    assert worker["memoryMB"] > 20
    assert [one["session"] for one in (await command("sessions", "--state", "linked", "--json")).json] == [
        "company_aurora"
    ]
    events = [one["event"] for one in (await command("timeline", "aurora", "--json")).json]
    assert events[:4] == ["link.created", "attempt.requested", "attempt.connecting", "qr.shown"]
    assert "attempt.linked" in events
    assert "the phone agreed" in (await command("timeline", "aurora")).out
    # What an owner reads out to support leads to the same.
    attempt = max(
        int(one["attempt"]) for one in (await command("timeline", "aurora", "--json")).json if one.get("attempt")
    )
    reference = reference_of("company_aurora", attempt)
    read_out = await command("timeline", reference.lower().replace("-", " "))
    assert f"{reference} is attempt {attempt}" in read_out.out
    assert "the phone agreed" in read_out.out
    assert (await command("doctor", "--json")).json == []

    other = await own.link("birch")
    assert (await command("link", "revoke", other["url"], "--json")).json["session"] == "company_birch"
    assert (await command("cooldowns", "aurora", "--json")).json[0]["refusals"] == 0
    assert (await command("unlink", "aurora", "--yes", "--json")).json["unlinked"]
    assert (await command("status", "aurora", "--json")).json["state"] == "unlinked"
    assert (await command("unlink", "aurora", "--yes", "--json")).json["worker"] is None, "at once: there is nothing"
    failed = json.dumps({"state": "failed", "failure": {"code": "internal", "retryable": True}})
    await own.redis.hset(keys.snapshot(SessionId("company_elm")), mapping={"attempt": 1, "seq": 1, "body": failed})
    assert (await command("unlink", "elm", "--yes", "--json")).json["unlinked"], "as soon as somebody has looked"
    done = [one["event"] for one in (await command("timeline", "operators", "--json")).json]
    assert done == ["link.created", "link.revoked", "session.unlink", "session.unlink"]


async def test_doctor_finds_what_is_ill_and_puts_it_right(own: Stack, command: Command) -> None:
    link, _ = await own.linked(company="held")
    await own.worker.said("session.logged-in", session=link["session"])
    worker = (await own.worker.said("worker.started"))["worker"]
    stuck = SessionId("company_stuck")
    body = {"state": "connecting", "method": "qr", "deadline": now_ms() - 3_600_000}
    await own.redis.hset(keys.snapshot(stuck), mapping={"attempt": 1, "seq": 1, "body": json.dumps(body)})
    await own.workers[0].kill()
    await own.redis.zadd(keys.WORKERS, {own.workers[0].module: now_ms() - 60_000})
    await own.redis.hset(keys.SWITCH, "drain:long-1-gone", "on")
    redis = client(own.redis.connection_pool)
    await enqueue(redis, keys.QUEUE_SESSIONS, "resume", "company_nobody", job_id="resume:late")
    await own.redis.zadd(keys.QUEUE_SESSIONS, {"resume:late": now_ms() - 120_000})

    async def has_lapsed() -> bool:
        return worker in await Leases(own.redis).dead()

    await until(has_lapsed, LEASE_MS / 1000 + 3)
    found = (await command("doctor", "--json", well=False)).json
    kinds = {one["check"] for one in found}
    assert kinds >= {
        "lease without heartbeat",
        "device is held by nobody",
        "onboarding is stuck",
        "worker is silent",
        "drain switch of nobody",
        "job is overdue",
    }
    (held,) = [one for one in found if one["check"] == "device is held by nobody"]
    assert held["detail"].endswith(f"left by {worker}")
    said = (await command("doctor", well=False)).out
    assert "company_stuck" in said
    assert "--repair" in said
    await own.start_worker()
    await command("doctor", "--repair", well=None)
    await own.worker.said("session.logged-in", session=link["session"])
    left = await until(lambda: _well(command))
    assert left == "well"
    failed = (await command("status", "stuck", "--json")).json
    assert failed["failure"]["code"] == "worker-lost"


async def test_a_worker_that_says_it_holds_more_than_it_owns_is_found(own: Stack, command: Command) -> None:
    worker = (await own.worker.said("worker.started"))["worker"]
    own.worker.process.send_signal(signal.SIGSTOP)
    try:
        await own.redis.hset(keys.worker(worker), mapping={"sessions": 3, "at": now_ms()})
        await Leases(own.redis).beat(worker, 1)  # a slow machine takes longer for the command than a heartbeat lives
        found = (await command("doctor", "--json", well=False)).json
        assert [one["check"] for one in found] == ["heartbeat without lease"]
    finally:
        own.worker.process.send_signal(signal.SIGCONT)


async def test_what_cannot_be_done_is_one_sentence_and_exit_code_2(own: Stack, command: Command) -> None:
    for words, sentence in (
        (("status", "nobody"), "Nothing is known of nobody"),
        (("status", "no such"), "is no company"),
        (("timeline", "nobody"), "Nothing is known"),
        (("sessions", "--state", "happy"), "There is no state"),
        (("drain", "nobody"), "names no living worker"),
        (("drain", ""), "names no living worker"),  # as of a variable that is not set
        (("switch", "on", "pauze"), "There is no switch 'pauze'"),
        (("link", "create", "a", "--phone", "12"), "is no phone number"),
        (("link", "create", "a", "--locale", "russian!"), "--locale: "),
        (("link", "create", "a", "--name", "n" * 81), "--name: "),
        (("link", "create", "a", "--return-url", "back.example"), "--return-url: "),
        (("link", "create", "a", "--return-url", f"https://back.example/{'ы' * 1500}"), "--return-url: "),
        (("link", "revoke", "no link"), "is no link's id"),
    ):
        said = await command(*words, well=False)
        assert (said.code, said.out) == (2, ""), words
        assert sentence in said.err
        assert said.err.count("\n") == 1
    said = await command("link", "create", "aurora", well=False, SECRET_KEY="")
    assert "SECRET_KEY is not set here" in said.err
    said = await command("status", well=False, REDIS_URL="redis://127.0.0.1:1/0")
    assert (said.code, said.err.count("\n")) == (2, 1)
    assert "Redis cannot be reached" in said.err


async def test_every_command_has_help_and_stands_in_the_operations_page() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    passed_on = {word: await asyncio.to_thread(_help, word) for word in PASSED_ON}

    def each(group: click.Group, name: str) -> None:
        for word, one in group.commands.items():
            assert one.help, f"{name} {word}"
            if isinstance(one, click.Group):
                each(one, f"{name} {word}")
            else:
                assert f"{name} {word}" in page
                takes_json = any(option.name == "as_json" for option in one.params) or "--json" in passed_on.get(
                    word, ""
                )
                assert takes_json or f"{name} {word}" in SAYS_NO_JSON, f"{name} {word}"

    assert isinstance(main, click.Group)
    each(main, "onboarding")


def _help(word: str) -> str:
    said = subprocess.run([sys.executable, "-m", "app.cli", word, "--help"], cwd=ROOT, capture_output=True, check=True)
    return said.stdout.decode()


async def _reported(stack: Stack) -> bool:
    (worker,) = await stack.redis.zrange(keys.WORKERS, 0, -1)
    return await stack.redis.hget(f"wa:worker:{worker.decode()}", "sessions") == b"1"


async def _well(command: Command) -> str:
    said = await command("doctor", well=None)
    return "well" if said.code == 0 else ""
