"""B13: five companies with 20,000 messages of history each link at once, beside 100 that are held, on a worker with 512 MB.

The limit is a control group's (tests/world/history.py, which `make test` plays with fewer). Every company can send at the end.
"""

from bench.result import Line
from bench.run import Run
from tests.world.history import COMPANIES, LIMIT_MB, MESSAGES, read_history

HELD = 100
LATER_SECONDS = 60.0
BAR_MB = 250.0


async def measure(run: Run) -> list[Line]:
    """Once: it is a count of deaths, and of megabytes."""
    held, later = run.rounds(HELD, 10), LATER_SECONDS if not run.quick else 5.0
    with run.redis() as redis:
        async with run.emulator() as emulator:
            seen = await read_history(emulator, redis, run.place(), held, later)
    what = f"{COMPANIES} companies with {MESSAGES} messages each, {held} held, {LIMIT_MB} MB"
    return [
        Line(f"{what}: processes that died", seen.kills + seen.died, "", bar=0),
        Line("sessions held before that logged in again", len(seen.disturbed), "", bar=0),
        Line(f"pss of all processes {later:.0f} s later", seen.mb, "MB", bar=BAR_MB),
    ]
