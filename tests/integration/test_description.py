"""What the description says of the API is true of made-up requests: no bug, no status and no field that it does not name.

`make chaos` tries 20,000 (tests/chaos/test_description.py).
"""

import pytest

from shared.core import keys
from shared.core.clock import now_ms
from tests.clients.fuzzing import fuzz
from tests.integration.web import API_KEY


@pytest.mark.timeout(400)
async def test_schemathesis_finds_nothing(web, redis, tmp_path):
    await redis.zadd(keys.WORKERS, {"w": now_ms() + keys.HOUR})  # ready
    cases = await fuzz(web.url, API_KEY, tmp_path, seed=1, examples=4, phases="examples,fuzzing")
    assert cases > 50
    assert "operation.crashed" not in web.log.read_text()
