"""Commands from a page whose link was spent or revoked: it may look, and ask again only where its work did not last."""

import pytest

from shared.core import keys
from shared.core.failures import FAILURES, FailureCode
from shared.core.ids import WorkerId
from shared.core.lifecycle import State
from shared.core.protocol import FailureView
from shared.state.claims import MOST_STARTS
from tests.integration.web import QUEUED, SESSION, jobs
from tests.unit.world import change


async def test_a_spent_link_may_look_and_not_ask(web, redis):
    link = web.link()
    await redis.set(keys.link(link.id), "spent")
    async with web.tab(link) as tab:
        assert tab.seen[0]["snapshot"]["state"] == "unlinked"
        assert tab.seen[0]["profile"]["spent"] is True
        await tab.say("request-qr")
        assert (await tab.error())["code"] == "link-spent"


async def test_clicking_and_cancelling_on_and_on_comes_to_an_end(web, redis):
    async with web.tab() as tab:
        await redis.set(keys.starts(SESSION), MOST_STARTS, px=60_000)
        await tab.say("request-qr")
        refused = await tab.error()
        assert refused["code"] == "cool-down"
        seconds, micros = await redis.time()  # the clock by which it was told
        assert 0 < refused["retryAt"] - (seconds * 1000 + micros // 1000) <= 60_000
    assert await jobs(redis, QUEUED) == []


async def test_a_revoked_link_cannot_even_cancel(web, redis):
    link = web.link()
    async with web.tab(link) as tab:
        await tab.say("request-qr")
        await tab.snapshot(state="queued")
        await redis.set(keys.link(link.id), "revoked")  # and the call that closes the socket is lost
        await tab.say("cancel")
        assert (await tab.error())["code"] == "link-spent"
        assert await jobs(redis, QUEUED)


async def ended_with(world, code):
    """What was linked is lost for this reason."""
    lease = await world.leases.acquire(SESSION, WorkerId("w1"))
    failure = FailureView(code=code, retryable=FAILURES[code].retryable)
    await world.snapshots.save(lease, change(State.FAILED, failure=failure, ending=True))
    await world.leases.release(lease)


@pytest.mark.parametrize(
    ("standing", "why", "answer"),
    [
        ("spent", FailureCode.DROPPED_AFTER_LINKING, None),
        ("spent", FailureCode.LOGGED_OUT, "link-spent"),
        ("spent", FailureCode.TEMPORARILY_BANNED, "link-spent"),
        ("revoked", FailureCode.DROPPED_AFTER_LINKING, "link-spent"),
    ],
)
@pytest.mark.parametrize("command", [("request-qr", {}), ("request-pairing-code", {"phoneNumber": "89001234567"})])
async def test_a_spent_link_may_ask_again_only_when_its_work_did_not_last(
    web, redis, world, standing, why, answer, command
):
    await ended_with(world, why)
    link = web.link()
    async with web.tab(link) as tab:
        await redis.set(keys.link(link.id), standing)
        await tab.say(command[0], **command[1])
        if answer is None:
            await tab.snapshot(state="queued")
        else:
            assert (await tab.error())["code"] == answer
