"""Whatever stands in Redis under the names that monitors read: it is skipped, and the rest is told."""

import pytest

from app.ops import exposition, gauges
from app.ops.routes import Ops
from shared.core import keys
from shared.core.ids import WorkerId

ODD = [b"\xff\xfe", b"", b"many", b"1.5", b"-", b"9" * 400, b'{"a":[', b"\x00"]


@pytest.mark.parametrize("odd", ODD, ids=repr)
async def test_an_odd_counter_report_or_name_spoils_nothing_else(redis, odd):
    await redis.hset(keys.STATS, mapping={b'linked{method="qr",region="RU"}': 3, b"odd": odd, odd: 1})
    await redis.zadd(keys.WORKERS, {b"w": 1, odd or b"?": 2.5})
    await redis.hset(keys.worker(WorkerId("w")), mapping={b"sessions": odd, b"clockMs": odd, b"store": odd, odd: odd})
    await redis.zadd(keys.QUEUE_LINKING, {odd: 1.5})
    moment = await gauges.read(redis)
    assert moment.stats['linked{method="qr",region="RU"}'] == 3
    assert {one.id for one in moment.workers} >= {"w"}
    assert moment.client
    assert b'wa_linked_total{method="qr",region="RU"} 3' in exposition.text(moment, sockets=0, switches=[])


async def test_a_monitor_that_asks_every_second_has_no_counter_read(redis):
    await redis.set(keys.STATS, "whoever reads this throws it away")
    assert (await Ops(redis, lambda: 0)._parts())["workers"] == "none alive"
    assert await redis.exists(keys.STATS)
