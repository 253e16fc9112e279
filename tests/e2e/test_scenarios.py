"""The scenario table, played: each row with the real library, two services, and a Sentry that only remembers.

All rows are played at once, as far as they do not disturb each other, before the first test looks at its outcome. What
strikes before a phone is known is armed for a whole service; so those rows have a service of their own, where one arms
its fault only when the one before has been struck.
"""

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from app.local import redis as local_redis
from emulator.client import Emulator
from tests.e2e.acting import Actor, Outcome
from tests.e2e.processes import is_at_rest
from tests.e2e.stack import Stack
from tests.operators.sink import Event, Sink
from tests.scenarios import SCENARIOS, Play, Scenario
from tests.waiting import until

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(600),
    pytest.mark.slow,
]

AT_ONCE = 5
"""Rows that link at the same time; those that wait for a clock come on top."""
_CLOCKS = {"pair-success-silence", "keepalive-silence", "code-silence"}
_SILENCES = {"connect-silence", "handshake-silence", "handshake-cut", "refs-silence"}


@dataclass
class Season:
    """What came of all rows, or why nothing could."""

    sink: Sink
    stacks: dict[bool, Stack] = field(default_factory=dict)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    errors: dict[str, Exception] = field(default_factory=dict)
    stats: Counter[str] = field(default_factory=Counter)


def _silent(scenario: Scenario) -> bool:
    """Whether the fault, once struck, leads to half a minute of silence and no further connection."""
    return any(arm.fault in _SILENCES for arm in scenario.arms)


def _waits(scenario: Scenario) -> bool:
    return scenario.play is Play.LOG_OUT_LATER or any(arm.fault in _CLOCKS for arm in scenario.arms)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def season(emulator: Emulator) -> AsyncIterator[Season]:
    """Every row, played."""
    folder = Path(tempfile.mkdtemp(prefix="scenarios-"))
    try:
        async with Sink.running() as sink:
            for name in ("one", "two"):
                (folder / name).mkdir()
            with local_redis.running(folder / "one") as one, local_redis.running(folder / "two") as two:
                async with (
                    Stack.running(emulator, one.url, folder / "one", SENTRY_DSN=sink.dsn, MAX_ATTEMPTS="100") as phones,
                    Stack.running(emulator, two.url, folder / "two", SENTRY_DSN=sink.dsn, MAX_ATTEMPTS="100") as tags,
                ):
                    played = Season(sink, {False: phones, True: tags})
                    await _play_all(played)
                    yield played
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _play_all(season: Season) -> None:
    places, arming = asyncio.Semaphore(AT_ONCE), asyncio.Lock()

    async def play(scenario: Scenario) -> None:
        try:
            if scenario.tagged:
                await _play_tagged(season, scenario, arming)
            elif _waits(scenario):
                await _play(season, scenario)
            else:
                async with places:
                    await _play(season, scenario)
        except (AssertionError, OSError, TimeoutError, httpx.HTTPError) as error:
            season.errors[scenario.name] = error

    async with asyncio.TaskGroup() as tasks:
        for scenario in sorted(SCENARIOS, key=_waits, reverse=True):
            tasks.create_task(play(scenario))
    for stack in season.stacks.values():
        for name, value in (await stack.redis.hgetall("wa:stats")).items():
            season.stats[name.decode()] += int(value)


async def _play(season: Season, scenario: Scenario) -> None:
    async with Actor(season.stacks[False], scenario) as actor:
        await actor.arm()
        season.outcomes[scenario.name] = actor.outcome
        await actor.play()


async def _play_tagged(season: Season, scenario: Scenario, arming: asyncio.Lock) -> None:
    """The row has the service for itself, because the client may connect again; but not while all are silent."""
    async with Actor(season.stacks[True], scenario) as actor:
        season.outcomes[scenario.name] = actor.outcome
        async with arming:
            before = await actor.stack.emulator.now()
            await actor.arm()
            playing = asyncio.create_task(actor.play())
            try:
                await _struck(actor, before, playing)
            except BaseException:
                playing.cancel()
                raise
            if playing.done() and actor.outcome.states[-1] == "linked":
                await _unlink(actor, before)
        await playing


async def _unlink(actor: Actor, before: int) -> None:
    """A session that stays connects again when it has settled, and might be struck by what the next row armed."""
    answer = await actor.stack.http.delete(f"/api/v1/companies/{actor.outcome.company}/session")
    assert answer.status_code == 202, answer.text
    await actor.stack.emulator.wait_for("device.unlinked", after=before, phone=actor.outcome.phone)


async def _struck(actor: Actor, before: int, playing: asyncio.Task[Outcome]) -> None:
    emulator = actor.stack.emulator
    if _silent(actor.scenario):
        await emulator.wait_for("fault.fired", after=before, where=lambda event: event.detail["rule"] in actor.rules)
        return
    if actor.scenario.settings:
        await emulator.wait_for("qr.offered", after=before, tag=actor.stack.tag)
        await emulator.settings(actor.stack.tag)
    await asyncio.wait({playing})


def _outcome(season: Season, scenario: Scenario) -> Outcome:
    error = season.errors.get(scenario.name)
    if error is not None:
        raise error
    return season.outcomes[scenario.name]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
async def test_it_ends_as_the_table_says(season: Season, scenario: Scenario) -> None:
    outcome = _outcome(season, scenario)
    assert outcome.states[: len(scenario.states.split())] == [s for s in scenario.states.split() if s != "refused"]
    told = outcome.error if scenario.ending == "refused" else outcome.body.get("failure")
    assert (told or {}).get("code") == (scenario.failure.value if scenario.failure else None)
    assert bool((told or {}).get("retryAt")) == scenario.retry_at
    assert season.stats[scenario.counts] > 0

    def about_it(event: Event) -> bool:
        return event.get("tags", {}).get("companyId") == outcome.company

    if scenario.level:
        event = await season.sink.event(about_it)
        assert event["level"] == scenario.level
        assert outcome.phone not in str(event)
    else:
        assert [event.get("message") for event in season.sink.events if about_it(event)] == []


async def test_every_row_was_counted_once(season: Season) -> None:
    """The failures in `wa:stats` are those of the table, and no others."""
    failed = {"failed", "unlinked", "reconnecting"}
    wanted = Counter(scenario.failure.value for scenario in SCENARIOS if scenario.failure and scenario.ending in failed)
    wanted += Counter(
        scenario.counts.split('"')[1]
        for scenario in SCENARIOS
        if scenario.ending == "linked" and "failures{" in scenario.counts
    )
    seen: Counter[str] = Counter()
    for name, value in season.stats.items():
        if name.startswith("failures{"):
            seen[name.split('"')[1]] += value
    assert seen == wanted


async def test_the_silent_failure_was_hinted_at(season: Season) -> None:
    silent = next(scenario for scenario in SCENARIOS if scenario.counts == "unanswered_attempts")
    assert _outcome(season, silent).hints == {"no-answer"}
    assert season.stats["unanswered_attempts"] == 1


async def test_what_was_replaced_never_fought_back(season: Season) -> None:
    replaced = next(s for s in SCENARIOS if any(arm.fault == "conflict-replaced" for arm in s.arms))
    outcome = _outcome(season, replaced)
    events = await season.stacks[False].emulator.events(phone=outcome.phone)
    logins = [event.kind for event in events if event.kind == "device.logged-in"]
    assert len(logins) == 2, "the linker's and the holder's"


async def test_the_strict_emulator_found_nothing_wrong_with_us(season: Season) -> None:
    for stack in season.stacks.values():
        events = await stack.emulator.events(tag=stack.tag)
        assert [event.detail for event in events if event.kind == "client.violation"] == []


async def test_no_linker_is_left(season: Season) -> None:
    for stack in season.stacks.values():
        for service in stack.workers:
            await until(lambda service=service: is_at_rest(service))
