"""A process beside the launcher that stops what the launcher has started, should that be gone without doing so.

The launcher writes a line for each set of process groups that it starts. When the pipe ends, the sets are stopped, last
first.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

STOP_SECONDS = 25
"""Until a process that does not heed SIGTERM is killed; a worker may take 20 s to hand its work over."""


@contextmanager
def guarded() -> Iterator[Callable[..., None]]:
    """Start the guard, which is gone when the block ends. The function tells it of process groups."""
    command = [sys.executable, "-m", "app.local.guard"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True, start_new_session=True) as guard:
        yield lambda *leaders: print(*leaders, file=guard.stdin, flush=True)


def stop(leaders: Iterable[int]) -> None:
    """Stop process groups, those that do not heed SIGTERM by SIGKILL."""
    until = time.monotonic() + STOP_SECONDS
    left = [one for one in leaders if _is_there(one, signal.SIGTERM)]
    while left and time.monotonic() < until:
        time.sleep(0.05)
        left = [one for one in left if _is_there(one, 0)]
    for one in left:
        _is_there(one, signal.SIGKILL)


def _is_there(leader: int, number: int) -> bool:
    try:
        os.killpg(leader, number)
    except (ProcessLookupError, PermissionError):  # macOS says the latter of one that has ended
        return False
    return True


if __name__ == "__main__":
    for told in reversed(list(sys.stdin)):
        stop(map(int, told.split()))
