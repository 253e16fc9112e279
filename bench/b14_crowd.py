"""B14: 10,000 sessions on 67 workers with engines that only pretend, on a real Redis and Postgres (bench/crowd.py).

Redis' share of a core while nothing happens; what a heartbeat costs Redis with 10 and with 1,000 sessions; and all leases
lapsed at once, in both ways that can happen: every worker was stopped past its heartbeat, and Redis was emptied. A worker
that wakes owns its sessions again at once; until they are held, it logs each in by a new engine process.
"""

from redis.asyncio import Redis

from bench import growth, least, machine
from bench.crowd import EACH, Crowd
from bench.result import Line, median
from bench.run import Run
from shared.core.ids import SessionId, WorkerId
from shared.jobs.queue import client
from shared.state.lease import Leases
from tests.unit.world import hold

SESSIONS = 10_000
SHARE, FLAT, AGAIN_SECONDS = 5.0, 1.15, 30.0
FEW, MANY, BEATS, TURNS = 10, 1_000, 200, 9


async def measure(run: Run) -> list[Line]:
    """The heartbeat alone, then the whole fleet."""
    many, seconds = run.rounds(SESSIONS, 300), run.rounds(60, 5)
    few, more = await _heartbeats(run)
    floor = await least.seconds(run, many, -(-many // EACH))
    run.say(f"the least that {many} sessions take: {floor:.1f} s")
    async with Crowd.running(run, many) as crowd:
        taken = await crowd.take_up()
        run.say(f"all {many} are held after {taken:.1f} s")
        rest = await crowd.rest(seconds)
        if not run.quick:
            growth.keep("fleet", [growth.at_rest(crowd, taken, rest)], machine.described())
        owned, held, processor = await crowd.lapse()
        emptied = await crowd.emptied()
    what = f"{many} sessions on {len(crowd.stack.workers)} workers"
    return [
        Line(f"{what} at rest: Redis' share of a core", rest.redis_processor * 100, "%", bar=SHARE),
        Line("commands in Redis, those inside scripts too", rest.redis_commands, "/s"),
        Line(f"a heartbeat with {MANY} sessions, in Redis", more, "us", floor=few, samples=TURNS),
        Line(f"a heartbeat: times that with {FEW} sessions", more / few, "x", bar=FLAT),
        Line("all leases lapsed (workers stopped): all owned again", owned, "s", bar=AGAIN_SECONDS),
        Line(
            "all leases lapsed (workers stopped): all held again", held, "s", bar=AGAIN_SECONDS, floor=floor,
            note="the floor: a lease, an engine's word and a snapshot for each, from as many processes, and nothing else",
        ),
        Line("processor of workers and Redis for a session held again", processor / many * 1000, "ms"),
        Line("all leases lapsed (Redis emptied): all owned again", emptied, "s", bar=AGAIN_SECONDS),
        Line("all held by nobody at first: all held", taken, "s"),
    ]  # fmt: skip


async def _heartbeats(run: Run) -> tuple[float, float]:
    """Microseconds of Redis for a heartbeat of a worker with few and with many sessions, in turns."""
    took: dict[int, list[float]] = {FEW: [], MANY: []}
    with run.redis() as url:
        pool = Redis.from_url(url).connection_pool
        redis = client(pool)
        leases = Leases(redis)
        try:
            for count in took:
                await hold(redis, WorkerId(f"w{count}"), [SessionId(f"company_{count}-{one}") for one in range(count)])
            for _ in range(TURNS):
                for count, values in took.items():
                    await redis.config_resetstat()
                    for beat in range(BEATS):
                        await leases.beat(WorkerId(f"w{count}"), beat + 1)
                    values.append((await redis.info("commandstats"))["cmdstat_evalsha"]["usec_per_call"])
        finally:
            await redis.aclose(close_connection_pool=True)
    return median(took[FEW]), median(took[MANY])
