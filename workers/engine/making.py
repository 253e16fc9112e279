"""Has the library make its tables, in a process of its own (workers/engine/child/tables.py)."""

import asyncio
import sys
from pathlib import Path

from workers.engine.parent import engine_environment

MAKING_SECONDS = 60.0


async def make_tables(*names: str) -> str:
    """Make the tables in each store, named as the library names it: a SQLite file, then maybe a Postgres. Returns the
    library's words about the last one. Raises TimeoutError after `MAKING_SECONDS`, and OSError."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "workers.engine.child.tables"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        cwd=Path(__file__).parents[2],
        env=engine_environment(),
    )
    try:
        async with asyncio.timeout(MAKING_SECONDS):
            said, _ = await process.communicate("\n".join(names).encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return said.decode()
