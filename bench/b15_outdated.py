"""B15: WhatsApp refuses the version (405) of 300 held sessions at once; until all are online with the newer one.

Two workers. Every connection is cut, and each login with the old version is refused, until the workers have found the newer
number at WhatsApp. Refused logins count, since WhatsApp counts them as well.
"""

from bench.result import Line
from bench.run import Run
from tests.e2e.stack import Stack
from tests.world import fleet as world

SESSIONS = 300
WORKERS = 2
OLDEST, NEWEST = 1_050_000_023, 1_050_000_123
ONLINE_SECONDS, REFUSED = 60.0, 1.2


async def measure(run: Run) -> list[Line]:
    """Once: the sessions are the samples."""
    many = run.rounds(SESSIONS, 20)
    fleet = await run.fleet(many)
    emulator = fleet.emulator
    with run.redis() as redis:
        stack = Stack(emulator, redis, fleet.data(many, run.place()))
        stack.environment["MAX_SESSIONS"] = str(many * 2 // 3)
        companies = world.Fleet(stack, numbers=fleet.numbers(many))
        try:
            for _ in range(WORKERS):
                await stack.start_worker()
            await companies.all_logged_in(0, seconds=300)
            before = await emulator.now()
            await emulator.settings(stack.tag, minimum_revision=OLDEST, web_revision=NEWEST)
            cut = await emulator.cut(tag=stack.tag)
            assert cut == many, f"{cut} of {many} were online"
            seconds = await companies.all_logged_in(before, revision=NEWEST, seconds=300)
            refused = await companies.refusals(before)
        finally:
            await stack.close()
    each = sum(refused.values()) / many
    return [
        Line(f"{many} sessions refused (405): all online with the newer version", seconds, "s", bar=ONLINE_SECONDS),
        Line(
            "refused logins of a session",
            each,
            "",
            bar=REFUSED,
            samples=many,
            note=f"most {max(refused.values(), default=0)}",
        ),
    ]
