"""What the operators' command shows is what is there: nothing that Redis holds is taken for markup."""

import asyncio
import importlib
import inspect
import io
import subprocess
import sys
from typing import Any

import click
import orjson
import pytest
from click.testing import CliRunner
from rich.console import Console

from app.cli import fleet, hooks, story, terminal
from app.cli.__main__ import main
from app.cli.terminal import Operator, Output
from shared.core import keys
from shared.core.clock import now_ms
from shared.state.switches import Switches
from tests.unit.cli.test_hooks import SETTINGS
from tests.unit.world import ONE, SESSION
from tests.waiting import until

NASTY = "[/] [bold]seen[/bold] [red :fire: \\[x]"


def shown(what):
    out = io.StringIO()
    Output(None, what).show(Console(file=out, width=160, highlight=False))
    return out.getvalue()


@pytest.fixture
def op(redis):
    return Operator(redis, SETTINGS, Console(file=io.StringIO(), width=160), may_sign=True)


async def test_a_drain_tells_how_many_sessions_are_left(redis, monkeypatch):
    monkeypatch.setattr(terminal, "LOOK_SECONDS", 0.01)
    told = io.StringIO()
    aside = Console(file=told, force_terminal=True, width=80, _environ={})
    await redis.zadd(keys.WORKERS, {ONE: now_ms()})
    await redis.set(keys.alive(ONE), 1)
    await redis.hset(keys.worker(ONE), "sessions", 2)
    await redis.sadd(keys.held(ONE), "first", "second")
    op = Operator(redis, SETTINGS, Console(file=io.StringIO()), aside=aside, may_sign=True)
    draining = asyncio.ensure_future(fleet.drain(op, worker=ONE, wait=True, by="anna"))
    for left in (2, 1):
        await until(lambda left=left: f"handing over, {left} of 2 sessions left" in told.getvalue())
        await redis.spop(keys.held(ONE))
    await until(lambda: "ending" in told.getvalue())
    await redis.zrem(keys.WORKERS, ONE)
    done: Any = (await draining).data
    assert done["gone"]


def test_cells_titles_and_lines_are_shown_as_they_are_written():
    for show in (
        terminal.table("head", ("a", "b"), [("x", NASTY)]),
        terminal.table(NASTY, ("a",), [("x" * 50,)]),
        terminal.table(NASTY, ("a",), []),
        terminal.line(NASTY),
    ):
        assert NASTY in shown(show)


def test_an_address_is_not_broken():
    address = "https://onboarding.example/link#" + "x" * 500
    for what in (terminal.line(address), terminal.together(terminal.table("head", ("a",), []), terminal.line(address))):
        assert address in shown(what)


@pytest.mark.parametrize(
    "words", [["webhooks", "resend", "\udcff"], ["unpark", "\udcff"], ["switch", "off", "pause", "--why", "\udcff"]]
)
def test_an_argument_that_is_not_utf_8_is_refused(words):
    said = CliRunner().invoke(main, words)
    assert (said.exit_code, "not UTF-8" in said.stderr) == (2, True)


def test_a_command_without_standard_output_does_its_work():
    line = f"exec {sys.executable} -m app.cli key new back-office --json >&-"
    done = subprocess.run(["sh", "-c", line], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


STEERING = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202eevil\u2066\r\x00"


async def test_what_redis_holds_steers_no_terminal(op, monkeypatch, capsys):
    """A contact may call itself so, and an event with its name may wait here."""
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    screen = terminal.console()
    screen.file = out
    line = orjson.dumps({"at": 1, "attempt": 1, "event": STEERING, "detail": STEERING})
    await op.redis.rpush(keys.timeline(SESSION), line)
    await op.redis.hset(keys.webhook("e1"), mapping={"type": "t", "company": STEERING, "body": STEERING})
    await op.redis.zadd(keys.WEBHOOKS, {"e1": 1})
    told = [
        await story.timeline(op, company=SESSION, last=5, follow=False),
        await hooks.deliveries(op, standing="waiting"),
        await hooks.show(op, event="e1"),
    ]
    for answer in told:
        answer.show(screen)
    assert out.getvalue().count("\\u001b]0;owned") == 5
    assert not set("\x1b\x07\x9b\u202e\u2066\r\x00") & set(out.getvalue())


async def test_a_reason_of_any_kind_is_shown_in_the_timeline_and_beside_its_switch(op):
    await Switches(op.redis).throw("pause", "on", by="anna@laptop", why=NASTY)
    assert NASTY in shown((await fleet.switches(op)).shown)
    assert NASTY in shown((await story.timeline(op, company="operators", last=5, follow=False)).shown)
    line = orjson.dumps({"at": 1, "attempt": 1, "event": "[/red]", "detail": NASTY})
    await op.redis.rpush(keys.timeline(SESSION), line, b"no line of ours")
    assert NASTY in shown((await story.timeline(op, company=SESSION, last=5, follow=False)).shown)


async def test_the_timeline_says_what_an_operator_can_do_where_the_page_has_no_way_on(op):
    for detail in ("passkey-required", "linked-elsewhere company_lotus", "internal"):
        line = orjson.dumps({"at": 1, "attempt": 1, "event": "attempt.failed", "detail": detail})
        await op.redis.rpush(keys.timeline(SESSION), line)
    said = shown((await story.timeline(op, company=SESSION, last=5, follow=False)).shown)
    assert "onboarding import" in said
    assert "company_lotus: unlink it there" in said
    assert "internal:" not in said


def changed(answer):
    return answer.data["changed"]


@pytest.mark.parametrize("typed", ["region:kz", "region:KZ", "region:Kz"])
async def test_a_switch_is_taken_back_as_it_was_thrown(op, typed):
    await fleet.throw(op, name="region:kz", value="on", by="anna@laptop", why="")
    thrown = await fleet.throw(op, name=typed, value="", by="anna@laptop", why="")
    assert changed(thrown)
    assert not await op.redis.exists(keys.SWITCH)
    again = await fleet.throw(op, name=typed, value="", by="anna@laptop", why="")
    assert not changed(again)


async def test_an_unknown_switch_that_was_thrown_by_hand_can_be_taken_back(op):
    await op.redis.hset(keys.SWITCH, "pauze", "on")
    assert changed(await fleet.throw(op, name="pauze", value="", by="anna@laptop", why=""))


def commands(group):
    """Every command below a group that runs a function of `app.cli`: that function, and the names of what it is given."""
    for made in group.commands.values():
        if isinstance(made, click.Group):
            yield from commands(made)
        elif getattr(made.callback, "args", None) and len(made.callback.args) == 2:
            work, _ask = made.callback.args
            module, _, function = work.rstrip("!").partition(".")
            given = {one.name for one in made.params} - {"as_json", "yes"} | set(made.callback.keywords)
            yield (
                getattr(importlib.import_module(f"app.cli.{module}"), function),
                given | ({"by"} if work.endswith("!") else set()),
            )


def test_every_command_gives_its_function_what_that_takes():
    found = list(commands(main))
    assert len(found) == 25
    for function, given in found:
        assert given == set(inspect.signature(function).parameters) - {"op"}, function
