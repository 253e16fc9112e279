"""Links of claims: spent, revoked, and the phone that they expect."""

import pytest

from shared.core import keys
from shared.core.clock import now_ms
from shared.core.lifecycle import State
from shared.state.claims import (
    Outcome,
    Subject,
)
from tests.unit.world import OTHER_PHONE, PHONE, SESSION, change


async def test_a_link_that_was_used_is_spent_until_it_expires_and_no_longer(world):
    await world.claims.spend(Subject("L", now_ms() + 60_000))
    assert await world.redis.get(keys.link("L")) == b"spent"
    assert 0 < await world.redis.pttl(keys.link("L")) <= 60_000
    await world.claims.spend(Subject("M", now_ms() - 1))
    await world.claims.spend(Subject("", now_ms() + 60_000))
    assert await world.redis.keys("wa:link:*") == [b"wa:link:L"]


async def test_a_link_that_was_revoked_stays_revoked_when_it_has_done_its_work(world):
    await world.redis.set(keys.link("L"), "revoked", px=60_000)
    await world.claims.spend(Subject("L", now_ms() + 60_000))
    assert await world.redis.get(keys.link("L")) == b"revoked"


@pytest.mark.parametrize("state", [State.QUEUED, State.CONNECTING, State.AWAITING_PHONE])
async def test_a_link_that_expects_a_phone_tightens_an_attempt_that_expects_none(world, state):
    if state is State.QUEUED:
        await world.ask()
    else:
        await world.serve(state=State.CONNECTING)
    joined = await world.ask(expected=PHONE)
    assert (joined.outcome, joined.tightened) == (Outcome.JOINED, True)
    assert (await world.claims.subject(SESSION)).expected == PHONE
    again = await world.ask(expected=PHONE)
    assert (again.outcome, again.tightened) == (Outcome.JOINED, False)


async def test_no_link_loosens_what_a_running_attempt_expects(world):
    await world.ask(expected=PHONE)
    assert (await world.ask()).outcome is Outcome.JOINED
    assert (await world.ask(expected=OTHER_PHONE)).outcome is Outcome.DIFFERS
    assert (await world.ask(phone=OTHER_PHONE, expected=OTHER_PHONE)).outcome is Outcome.DIFFERS
    assert (await world.claims.subject(SESSION)).expected == PHONE


async def test_a_code_for_another_phone_is_not_overruled_by_an_expectation(world):
    await world.ask(phone=PHONE)
    assert (await world.ask(expected=OTHER_PHONE)).outcome is Outcome.DIFFERS
    subject = await world.claims.subject(SESSION)
    assert (subject.phone, subject.expected) == (PHONE, None)


async def test_once_the_phone_has_agreed_nothing_is_expected_of_it_any_more(world):
    lease = await world.serve()
    for state in (State.AWAITING_PHONE, State.LINKING):
        await world.snapshots.save(lease, change(state))
    assert (await world.ask(expected=PHONE)).outcome is Outcome.DIFFERS
    assert (await world.claims.subject(SESSION)).expected is None
