"""What the description says of the API is true of made-up requests: no bug, no status and no field that it does not name.

`make chaos` tries 20,000, by three seeds, and with those that follow from each other's answers.
"""

import os

import pytest

from shared.core import keys
from shared.core.clock import now_ms
from tests.clients.fuzzing import fuzz
from tests.integration.web import API_KEY

CASES = int(os.environ.get("CASES", "0"))
SEEDS, EXAMPLES, PHASES = (
    ((1, 2, 3), CASES // 3 // 18, "examples,coverage,fuzzing,stateful") if CASES else ((1,), 4, "examples,fuzzing")
)


@pytest.mark.timeout(0 if CASES else 400)
async def test_schemathesis_finds_nothing(web, redis, tmp_path):
    await redis.zadd(keys.WORKERS, {"w": now_ms() + keys.DAY})  # ready
    tried = 0
    for seed in SEEDS:
        tried += await fuzz(web.url, API_KEY, tmp_path, seed=seed, examples=EXAMPLES, phases=PHASES)
        print(f"seed {seed}: {tried} cases")
    assert tried >= max(50, CASES)
    assert "operation.crashed" not in web.log.read_text()
