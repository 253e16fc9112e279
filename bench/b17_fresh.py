"""B17: a fresh clone with a clean home and nothing on its PATH but make, python3 and what every Unix has; until `make demo`
has printed its link. What it installs is weighed. It needs the package registry; how far away that is, is measured as well.
"""

import asyncio

from bench.result import Line
from bench.run import Run
from tests.tooling import fresh

READY_SECONDS, MOST_MB = 30.0, 250.0


async def measure(run: Run) -> list[Line]:
    """The first start, and the next."""
    clone = fresh.here(run.place())
    first = await asyncio.to_thread(_ready, clone)
    run.say(f"ready after {first:.1f} s")
    again = await asyncio.to_thread(_ready, clone)
    return [
        Line("fresh clone: make demo is ready", first, "s", bar=READY_SECONDS),
        Line("installed", fresh.installed_mb(clone), "MB", bar=MOST_MB),
        Line("the next make demo is ready", again, "s"),
    ]


def _ready(clone: fresh.Fresh) -> float:
    with fresh.demo(clone) as ready:
        return ready.seconds
