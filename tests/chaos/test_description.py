"""Twenty thousand made-up requests, by three seeds, find nothing that the API's description does not say."""

import os
from pathlib import Path

import pytest
from redis.asyncio import Redis

from app.local.redis import LocalRedis
from shared.core import keys
from shared.core.clock import now_ms
from tests.clients.fuzzing import fuzz
from tests.integration.web import API_KEY, Web

CASES = int(os.environ.get("CASES", "0"))
"""Of all seeds together; `make chaos` says how many."""
SEEDS = (1, 2, 3)
PHASES = "examples,coverage,fuzzing,stateful"


@pytest.mark.skipif(not CASES, reason="make chaos has the time for it; make test tries fewer")
@pytest.mark.asyncio(loop_scope="session")
async def test_schemathesis_finds_nothing_in_thousands_of_cases(own_redis: LocalRedis, folder: Path) -> None:
    tried = 0
    with Web.running(own_redis.url, folder / "web.log") as web:
        async with Redis.from_url(own_redis.url) as redis:
            await redis.zadd(keys.WORKERS, {"w": now_ms() + keys.DAY})  # ready
        for seed in SEEDS:
            cases = await fuzz(web.url, API_KEY, folder, seed=seed, examples=CASES // len(SEEDS) // 18, phases=PHASES)
            print(f"seed {seed}: {cases} cases")
            tried += cases
        assert "operation.crashed" not in web.log.read_text()
    assert tried >= CASES
