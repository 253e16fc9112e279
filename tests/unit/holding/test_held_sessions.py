"""Losses of a held session: each leads to a state for the page, an act, a count, and never to a fight."""

import pytest

from shared.core import keys
from shared.core.clock import now_ms
from shared.core.failures import FailureCode
from shared.core.lifecycle import State
from shared.core.protocol import Method
from shared.state.claims import Claims, Subject, queued
from shared.state.cooldowns import Asker
from shared.telemetry import sentry
from tests.unit.holding.house import (
    HOUR_AGO,
    OTHER,
    PHONE,
    SESSION,
    House,
    R,
)
from workers.engine import protocol as pipe
from workers.holding import carrying, machine, roster


@pytest.mark.parametrize("linked_at", [0, HOUR_AGO])
async def test_a_restricted_account_is_told_as_such_once_and_comes_back_when_it_is_released(
    redis, linked_at, monkeypatch
):
    monkeypatch.setattr(machine, "RESTRICTED_MS", (-10, -10))
    house = House(redis, now_ms() - linked_at)
    await house.up()
    await house.lose(R.RESTRICTED)
    body = await house.body()
    assert (body.state, body.failure.code) == (State.FAILED, FailureCode.ACCOUNT_RESTRICTED)
    assert body.device is not None, "an operator sees that it is kept"
    await house.sessions.resume(SESSION)
    await house.lose(R.RESTRICTED)
    assert await house.counted('failures{code="account-restricted",region="RU"}') == 1
    fed = [entry[b"type"] for _, entry in await house.redis.xrange(keys.FEED)]
    assert fed.count(b"session.dropped") == 1
    assert len(house.offered) == 2
    await house.up()
    await house.settled()
    assert (await house.body()).state is State.LINKED
    assert house.store.devices[SESSION].parked == ""


async def test_the_timeline_has_whatsapps_words_of_a_refusal_without_a_number(house):
    await house.up()
    await house.lose(R.REFUSED, detail="BAD_REQUEST call 79001234567")
    said = str(await house.redis.lrange(keys.timeline(SESSION), 0, -1))
    assert "connection-failed: BAD_REQUEST call" in said
    assert "79001234567" not in said


async def test_the_timeline_has_whatsapps_words_of_a_ban(house):
    await house.up()
    await house.lose(R.BANNED, now_ms() + HOUR_AGO, detail="402 (code 101): Too many texts / Call 79001234567")
    said = str(await house.redis.lrange(keys.timeline(SESSION), 0, -1))
    assert "temporarily-banned: 402 (code 101): Too many texts" in said
    assert "79001234567" not in said


async def test_an_odd_stream_error_is_told_counted_and_alerted_and_the_session_stays(house, monkeypatch):
    heard = []
    monkeypatch.setattr(sentry, "stream_error", lambda name, session: heard.append((name, session)))
    await house.up()
    before = await house.body()
    await house.holders.hear(pipe.Remarked(session=SESSION, remark=pipe.Remark.STREAM_ERROR, detail="516"))
    assert await house.body() == before
    assert '"event":"session.stream-error","detail":"516"' in str(
        await house.redis.lrange(keys.timeline(SESSION), 0, -1)
    )
    assert await house.counted('stream_errors{code="516"}') == 1
    assert heard == [("516", SESSION)]


async def test_a_file_that_cannot_be_fetched_is_told_and_the_media_host_looked_at(house):
    await house.up()
    await house.holders.hear(pipe.Remarked(session=SESSION, remark=pipe.Remark.FILE_MISSED))
    assert house.media.without == 1
    assert '"event":"session.file-missed"' in str(await house.redis.lrange(keys.timeline(SESSION), 0, -1))


async def test_logged_out_is_told_and_forgotten(house):
    await house.up()
    await house.lose(R.LOGGED_OUT)
    body = await house.body()
    assert (body.state, body.failure.code) == (State.UNLINKED, FailureCode.LOGGED_OUT)
    assert house.store.devices == {}
    assert await house.leases.owner(SESSION) is None
    assert await house.counted('failures{code="logged-out",region="RU"}') == 1


async def test_within_the_dwell_it_is_a_drop(fresh):
    await fresh.up()
    await fresh.lose(R.LOGGED_OUT)
    body = await fresh.body()
    assert (body.state, body.failure.code) == (State.FAILED, FailureCode.DROPPED_AFTER_LINKING)
    assert await fresh.counted("dropped") == 1


@pytest.mark.parametrize(
    ("reason", "code"), [(R.REPLACED, FailureCode.INTERNAL), (R.BANNED, FailureCode.TEMPORARILY_BANNED)]
)
async def test_replaced_and_banned_are_kept_and_never_fight_back(house, reason, code):
    until = now_ms() + HOUR_AGO if reason is R.BANNED else None
    await house.up()
    await house.lose(reason, until)
    body = await house.body()
    assert (body.state, body.failure.code, body.failure.retry_at) == (State.FAILED, code, until)
    assert body.device is not None, "an operator sees that it is kept"
    assert house.store.devices[SESSION].parked == reason.value
    before = list(house.holders.held)
    await house.sessions.resume(SESSION)
    assert house.holders.held == before
    assert await house.leases.owner(SESSION) is None


async def test_a_ban_that_is_over_is_over(house):
    await house.up()
    await house.lose(R.BANNED, now_ms() - 2_000)
    [(session, at)] = house.offered
    assert (session, at) == (SESSION, house.store.devices[SESSION].again_at)
    await house.up()
    await house.settled()
    assert (await house.body()).state is State.LINKED
    assert house.store.devices[SESSION].parked == ""


async def test_a_replaced_device_is_tried_again_once_and_not_twice(house, monkeypatch):
    monkeypatch.setattr(machine, "REPLACED_MS", -10)
    await house.up()
    await house.lose(R.REPLACED)
    assert len(house.offered) == 1
    await house.up()
    assert (await house.body()).state is State.LINKED
    assert house.store.devices[SESSION].parked == R.REPLACED.value, "until it has settled"
    await house.lose(R.REPLACED)
    assert house.store.devices[SESSION].again_at == 0
    assert len(house.offered) == 1
    before = list(house.holders.held)
    await house.sessions.resume(SESSION)
    assert house.holders.held == before


async def test_a_replaced_device_that_has_settled_is_like_any_other(house, monkeypatch):
    monkeypatch.setattr(machine, "REPLACED_MS", -10)
    monkeypatch.setattr(carrying, "SETTLED_SECONDS", 0.01)
    await house.up()
    await house.lose(R.REPLACED)
    await house.up()
    await house.until(lambda: house.store.devices[SESSION].parked == "")


async def test_a_parked_device_is_left_alone_while_its_owner_links_anew(house):
    await house.up()
    await house.lose(R.BANNED, now_ms() - 2_000)
    await Claims(house.redis).request(SESSION, Subject("L", 0), queued(Method.QR, "attempt.requested"))
    await house.sessions.resume(SESSION)
    assert (await house.body()).state is State.QUEUED
    assert house.holders.held == [SESSION]


async def test_a_banned_phone_waits_for_its_code_as_long_as_the_ban(house):
    until = now_ms() + HOUR_AGO
    await house.up()
    await house.lose(R.BANNED, until)
    assert (await house.cooldowns.wait(Asker(PHONE, OTHER))).until == until


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (R.REFUSED, FailureCode.CONNECTION_FAILED),
        (R.START_FAILED, FailureCode.CONNECTION_FAILED),
    ],
)
async def test_trouble_is_said_counted_once_and_tried_again(house, monkeypatch, reason, code):
    monkeypatch.setattr(carrying, "RETRY_SECONDS", (0.01, 0.01))
    await house.up()
    for tries in range(2, 4):
        await house.lose(reason)
        body = await house.body()
        assert (body.state, body.failure.code) == (State.RECONNECTING, code)
        await house.until(lambda tries=tries: len(house.holders.held) == tries)
    assert await house.counted(f'failures{{code="{code.value}",region="RU"}}') == 1
    assert (await house.body()).failure.code is code
    await house.holders.hear(pipe.Held(session=SESSION))
    body = await house.body()
    assert (body.state, body.failure) == (State.LINKED, None)


async def test_an_outdated_client_is_told_with_a_time_and_tried_again_when_there_is_a_newer_version(house):
    await house.up()
    await house.lose(R.OUTDATED)
    body = await house.body()
    assert (body.state, body.failure.code) == (State.RECONNECTING, FailureCode.CLIENT_OUTDATED)
    assert (body.failure.retryable, body.failure.retry_at) == (True, house.versions.next_try)
    assert (house.sessions.outdated, len(house.holders.held)) == (1, 1)
    house.sessions.newer()
    await house.until(lambda: len(house.holders.held) == 2)
    await house.holders.hear(pipe.Held(session=SESSION))
    body = await house.body()
    assert (body.state, body.failure, house.sessions.outdated) == (State.LINKED, None, 0)
    house.versions.newer = True
    await house.lose(R.OUTDATED)
    await house.until(lambda: len(house.holders.held) == 3)


async def test_a_lost_keepalive_is_shown_until_it_is_back(house):
    await house.up()
    await house.holders.hear(pipe.Dropped(session=SESSION))
    assert (await house.body()).state is State.RECONNECTING
    await house.holders.hear(pipe.Restored(session=SESSION))
    assert (await house.body()).state is State.LINKED


async def test_the_end_of_a_session_is_said_until_redis_hears_it(house, monkeypatch):
    monkeypatch.setattr(roster, "SAY_AGAIN_SECONDS", 0.01)
    await house.up()
    save, faults = house.snapshots.save, [ConnectionResetError(), ConnectionResetError()]

    async def failing(*args):
        if faults:
            raise faults.pop()
        return await save(*args)

    monkeypatch.setattr(house.snapshots, "save", failing)
    await house.lose(R.LOGGED_OUT)
    assert (await house.body()).state is State.UNLINKED
    assert await house.leases.owner(SESSION) is None
