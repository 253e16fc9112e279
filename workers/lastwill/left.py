"""The worker's side of its last will."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from shared.core.ids import WorkerId


@contextlib.asynccontextmanager
async def last_will(worker: WorkerId) -> AsyncIterator[int]:
    """Have a process wait that speaks for `worker` should it be killed. Yields the descriptor of the life line, which
    every process must hold that has to be gone before another worker may act. Raises OSError.

    A worker that leaves the block in order has given everything back: the will is revoked.
    """
    end, line = os.pipe()
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "workers.lastwill",
            str(end),
            worker,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            pass_fds=(end,),
            cwd=Path(__file__).parents[2],
            # Its own session: whatever is said to the worker's terminal is not meant for it.
            start_new_session=True,
        )
    finally:
        os.close(end)
    try:
        yield line
        with contextlib.suppress(BrokenPipeError):
            os.write(line, b".")
        await process.wait()
    finally:
        os.close(line)
