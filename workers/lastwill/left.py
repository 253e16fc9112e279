"""A worker's last will, which another process speaks if the worker is killed.

The life line is a pipe. Its writing end is held by the worker, its zygote and every engine process, and by nobody else. A
worker that stops in order writes a line into it. If it ends with nothing in it, all of them are gone: the kernel says so,
and another worker may take the sessions over at once. Otherwise the others learn of it when the heartbeat lapses.
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from shared.core.ids import WorkerId

_WAIT = 'trap "" INT TERM HUP; read -r said || exec "$0" -m "$1" "$2"'
"""A shell waits for the end of the life line, on its standard input, with a tenth of the memory of a Python that waits. A
host signals all processes of the worker when it stops it; this one goes after the worker."""


def waiting(worker: WorkerId) -> tuple[str, ...]:
    """The command that waits."""
    return ("/bin/sh", "-c", _WAIT, sys.executable, "workers.lastwill", worker)


@contextlib.asynccontextmanager
async def last_will(worker: WorkerId) -> AsyncIterator[int]:
    """Have a process wait that speaks for `worker` should it be killed. Yields the descriptor of the life line, which
    every process must hold that has to be gone before another worker may act. Raises OSError.

    A worker that leaves the block in order has given everything back: the will is revoked.
    """
    end, line = os.pipe()
    try:
        process = await asyncio.create_subprocess_exec(
            *waiting(worker),
            stdin=end,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=Path(__file__).parents[2],
            # Its own session: whatever is said to the worker's terminal is not meant for it.
            start_new_session=True,
        )
    finally:
        os.close(end)
    try:
        yield line
        with contextlib.suppress(BrokenPipeError):
            os.write(line, b"\n")
        await process.wait()
    finally:
        os.close(line)
