"""Counters, marks and histograms move with the change that they count, and not without it."""

from shared.core import keys
from shared.core.lifecycle import State
from shared.core.protocol import Method
from shared.state.pool import answer
from shared.telemetry.metrics import BUCKETS, Counter, Histogram, Mark, ended, first, parse_field, timed
from tests.unit.world import ONE, OTHER, SESSION, World, change
from workers import tallies


async def stats(world: World) -> dict[str, int]:
    return {name.decode(): int(value) for name, value in (await answer(world.redis.hgetall(keys.STATS))).items()}


async def test_a_stale_writer_counts_nothing(world: World) -> None:
    lease = await world.serve()
    await world.lapse()
    assert await world.snapshots.save(lease, change(counters=("a", first(Mark.SHOWN, "b")))) is None
    assert await stats(world) == {}


async def test_a_stage_that_two_workers_reach_counts_once(world: World) -> None:
    lease = await world.serve()
    shown = tallies.qr_shown(Method.QR, "RU", 1)
    assert await world.snapshots.save(lease, change(State.AWAITING_PHONE, counters=shown))
    before = await stats(world)
    assert sum(value for name, value in before.items() if name.startswith("funnel")) == 1
    assert sum(value for name, value in before.items() if name.startswith("click_to_shown_seconds_bucket")) == 1
    await world.lapse()
    attempt = await world.rescue.restart(SESSION, change(State.QUEUED))
    assert attempt
    again = await world.leases.acquire(SESSION, OTHER, attempt=attempt)
    assert again
    assert await world.snapshots.save(again, change(State.CONNECTING))
    assert await world.snapshots.save(again, change(State.AWAITING_PHONE, counters=shown))
    after = await stats(world)
    assert after["qr_codes_shown"] == 2
    assert {name: value for name, value in after.items() if name != "qr_codes_shown"} == {
        name: value for name, value in before.items() if name != "qr_codes_shown"
    }


async def test_each_click_begins_anew(world: World) -> None:
    for expected in (1, 2):
        lease = await world.serve()
        counted = (*tallies.qr_shown(Method.QR, "ZZ", 1), ended(State.CANCELLED))
        assert await world.snapshots.save(lease, change(State.CANCELLED, ending=True, counters=counted))
        await world.leases.release(lease)
        found = await stats(world)
        assert found['endings{state="cancelled"}'] == expected
        assert (
            sum(value for name, value in found.items() if name.startswith("click_to_shown_seconds_bucket")) == expected
        )


async def test_a_time_falls_into_its_bucket_and_the_sum(world: World) -> None:
    lease = await world.serve(ONE)
    subject = keys.subject(SESSION)
    clicked = int(await answer(world.redis.hget(subject, "clicked")))
    await answer(world.redis.hset(subject, "clicked", str(clicked - 3_000)))
    observed = timed(Mark.SHOWN, Mark.CLICKED, Histogram.CLICK_TO_SHOWN, "qr")
    for _ in range(2):
        assert await world.snapshots.save(lease, change(counters=(observed,)))
    found = await stats(world)
    assert found.pop('click_to_shown_seconds_ms{method="qr"}') >= 3_000
    assert found == {'click_to_shown_seconds_bucket{method="qr",le="5"}': 1}


async def test_a_verified_device_is_one_verified_and_one_stage(world: World) -> None:
    lease = await world.serve()
    assert await world.snapshots.save(lease, change(counters=tallies.verified(Method.CODE, "RU", "RU")))
    found = [parse_field(name) for name in await stats(world)]
    assert sorted(name for name, _ in found) == ["funnel", "verified"]
    assert all(labels["method"] == "code" for _, labels in found)


def test_everything_that_is_counted_has_a_meaning() -> None:
    assert all(one.says.endswith(".") for one in (*Counter, *Histogram))
    assert all(list(bounds) == sorted(bounds) for bounds in BUCKETS.values())
