"""Speaks for a worker that was killed: `python -m workers.lastwill FD WORKER`, FD being the end of its life line.

The life line is a pipe. Its other end is held by the worker, its zygote and every engine process, and by nobody else. A
worker that stops in order writes into it. If it ends with nothing in it, all of them are gone: the kernel says so, and
another worker may take the sessions over at once. Otherwise the others learn of it when the heartbeat lapses.

One runs beside each worker, so nothing is imported until there is something to say.
"""

import os
import signal
import sys


def main() -> None:
    """Wait for the end of the life line; then speak, if the worker has not said good-bye."""
    # A host signals all processes of the worker when it stops it. This one goes after the worker.
    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, signal.SIG_IGN)
    if os.read(int(sys.argv[1]), 1):
        return
    from workers.lastwill.words import speak  # it costs 30 MB, which a waiting process must not

    speak(sys.argv[2])


if __name__ == "__main__":
    main()
