"""Gives the service a bug: whatever one of two scripts is asked for a company named `salon-broken…` fails.

Python imports this file by itself when its directory is on PYTHONPATH. The emulator's hook, which it stands before, is
run from here.
"""

import os
import runpy

from redis.asyncio import Redis

_evalsha = Redis.evalsha


def _broken(self, sha, numkeys, *keys_and_args):
    script, _, told = keys_and_args[numkeys : numkeys + 3]
    if script in ("request", "enqueue") and b"salon-broken" in told:
        raise ArithmeticError("a bug, made for a test")
    return _evalsha(self, sha, numkeys, *keys_and_args)


setattr(Redis, "evalsha", _broken)  # noqa: B010 (mypy forbids the plain way)
runpy.run_path(os.environ["WA_BROKEN_NEXT_HOOK"])
