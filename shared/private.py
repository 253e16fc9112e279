"""Limits of a process: the privacy of its files, memory and rights; the number of its descriptors."""

import ctypes
import os
import resource
import sys

_PR_SET_NO_NEW_PRIVS = 38


def keep_private() -> None:
    """Make files for this user alone, write no core dump, and gain no rights by starting another program. Child
    processes inherit all three. Call this first."""
    os.umask(0o077)
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    # One byte is too little for any core, and turns off the kernel's pipes to collectors as well, which zero does not.
    least = 1 if hard == resource.RLIM_INFINITY else min(1, hard)
    resource.setrlimit(resource.RLIMIT_CORE, (least, least))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def raise_descriptors() -> int:
    """Let this process have as many descriptors as the kernel allows it. Return their number."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
