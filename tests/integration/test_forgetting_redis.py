"""What names a company goes from Redis, of whatever kind the key is; its neighbours and other name spaces stay."""

import asyncio
import json
import os
import sys

import pytest
from pydantic import SecretStr

from shared.core import keys
from shared.core.ids import SessionId
from shared.jobs.queue import client
from shared.settings import Settings
from shared.state import pool as redis_pool
from shared.state.forgetting import Forgetting
from tests.integration.web import API_KEY, ROOT, SECRET

GONE, STAYS = SessionId("company_salon"), SessionId("company_salon.2")


@pytest.fixture
async def spaces(redis_server):
    """Clients of two name spaces of one database: none, and `x`."""
    made = []
    for namespace in ("", "x"):
        settings = Settings(
            redis_url=SecretStr(redis_server),
            namespace=namespace,
            secret_key=SecretStr(SECRET),
            api_keys=(SecretStr(API_KEY),),
        )
        made.append(client(redis_pool.pool(settings)))
    yield made
    for one in made:
        await one.aclose(close_connection_pool=True)


async def fill(redis, session):
    """A key of each kind, of which some are the company's own and some are shared."""
    company = session.removeprefix("company_")
    await redis.set(keys.lease(session), "w1:3")
    await redis.hset(keys.snapshot(session), mapping={"attempt": 1, "seq": 1, "body": "{}"})
    await redis.hset(keys.webhook(f"e-{company}"), mapping={"body": json.dumps({"companyId": company})})
    await redis.hset(keys.made_link(f"l-{company}"), mapping={"company": company, "expiresAt": 1})
    await redis.rpush(keys.timeline(session), "{}")
    await redis.zadd(keys.SESSIONS, {session: 0})
    await redis.sadd("wa:held:w1", session)
    await redis.xadd(keys.FEED, {"event": json.dumps({"companyId": company})})
    await redis.xadd(keys.OPERATORS, {"event": "session.unlink", "what": session})
    await redis.set(f"arq:job:link:{session}:3", "a job")
    # What a script answered: events as JSON, with their bodies as JSON inside.
    await redis.set(keys.said(f"1-{company}"), json.dumps({"events": [{"company": company}]}, separators=(",", ":")))
    await redis.set(keys.said(f"2-{company}"), json.dumps({"events": [json.dumps({"companyId": company})]}))
    await redis.zadd(keys.QUEUE_LINKING, {f"link:{session}:3": 1})


async def named(redis, session):
    """How many keys and parts of keys are about the company."""
    company = session.removeprefix("company_")
    shared = (
        await redis.zscore(keys.SESSIONS, session) is not None,
        await redis.sismember("wa:held:w1", session),
        await redis.zscore(keys.QUEUE_LINKING, f"link:{session}:3") is not None,
        any(json.dumps(company) in str(one) for one in await redis.xrange(keys.FEED)),
    )
    own = [keys.lease(session), keys.snapshot(session), keys.webhook(f"e-{company}"), keys.made_link(f"l-{company}")]
    own += [keys.said(f"1-{company}"), keys.said(f"2-{company}")]
    return sum(map(bool, shared)) + await redis.exists(*own, keys.timeline(session), f"arq:job:link:{session}:3")


async def test_one_company_of_one_name_space_goes(spaces):
    plain, ours = spaces
    for redis in spaces:
        await fill(redis, GONE)
        await fill(redis, STAYS)
    everything = await named(plain, GONE)
    assert everything == 12
    await Forgetting(ours, SecretStr(SECRET)).wish(GONE, "anna")
    await Forgetting(ours, SecretStr(SECRET)).erase(GONE)
    assert await named(ours, GONE) == 0
    assert [await named(plain, GONE), await named(plain, STAYS), await named(ours, STAYS)] == [everything] * 3
    assert await ours.get(keys.link("l-salon")) == b"revoked"
    acts = [(one[b"event"], one[b"what"].decode(), one.get(b"by")) for _, one in await ours.xrange(keys.OPERATORS)]
    assert acts == [(b"session.unlink", STAYS, None), (b"company.forgotten", GONE, b"anna")]
    assert not await Forgetting(ours, SecretStr(SECRET)).is_wished(GONE)


async def test_what_a_script_answers_meanwhile_goes_as_well(spaces, monkeypatch):
    """A worker takes an event that is due while the scan is under way, and a scan need not see a key that is new."""
    _, ours = spaces
    await fill(ours, GONE)
    forgetting = Forgetting(ours, SecretStr(SECRET))
    strike = forgetting._strike

    async def answered_meanwhile(found, about):
        await strike(found, about)
        if any(b"arq:" in one for one in found):
            await ours.set(keys.said("3-salon"), json.dumps({"companyId": "salon"}))

    monkeypatch.setattr(forgetting, "_strike", answered_meanwhile)
    await forgetting.erase(GONE)
    assert not await ours.exists(keys.said("3-salon"))


async def test_the_command_has_a_worker_forget(spaces, redis_server):
    plain, _ = spaces
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app.cli", "forget", "salon", "--yes", "--no-wait", "--json"),
        cwd=ROOT,
        env=os.environ | {"REDIS_URL": redis_server, "SECRET_KEY": SECRET, "API_KEYS": API_KEY},
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    assert (process.returncode, json.loads(said)) == (0, {"session": GONE, "forgotten": False})
    assert await plain.hexists(keys.FORGETTING, GONE)
    [job] = await plain.zrange(keys.QUEUE_SESSIONS, 0, -1)
    assert job.startswith(b"forget:company_salon:")
