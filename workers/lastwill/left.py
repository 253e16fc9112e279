"""A worker's last will, which another process speaks if the worker is killed.

The life line is a pipe. Its writing end is held by the worker, its zygote and every engine process, and by nobody else. A
worker that stops in order writes a line into it. If the pipe ends without a line, the kernel says that all of them are
gone, and another worker may take the sessions over at once, without waiting for the heartbeat to lapse.
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from shared.core.ids import WorkerId

_WAIT = 'trap "" INT TERM HUP; read -r said || exec "$0" -m "$1" "$2"'
"""A shell waits on its standard input for the end of the life line: it takes a tenth of the memory of Python. A host that
stops the worker signals all its processes; the shell ignores that, and ends after the worker."""


def waiting(worker: WorkerId) -> tuple[str, ...]:
    """The command that waits for the end of the life line."""
    return ("/bin/sh", "-c", _WAIT, sys.executable, "workers.lastwill", worker)


@contextlib.asynccontextmanager
async def last_will(worker: WorkerId) -> AsyncIterator[int]:
    """Have a process wait that speaks for `worker` if it is killed. Raises OSError.

    Yields the descriptor of the life line. Every process that has to be gone before another worker may act must hold it.
    A worker that leaves the block in order has given everything back: its will is revoked.
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
