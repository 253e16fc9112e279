"""Gives the service a bug: whatever one of two scripts is asked for a company named `salon-broken…` fails.

Python imports this file by itself when its directory is on PYTHONPATH. The emulator's hook, which it stands before, is
run from here.
"""

import os
import runpy

from redis.commands.core import AsyncScript

_call = AsyncScript.__call__


async def _broken(self, keys=None, args=None, client=None):
    script, _, told, *_ = args or ["", "", b""]
    if script in ("request", "enqueue") and b"salon-broken" in told:
        raise ArithmeticError("a bug, made for a test")
    return await _call(self, keys, args, client)


setattr(AsyncScript, "__call__", _broken)  # noqa: B010 (mypy forbids the plain way)
runpy.run_path(os.environ["WA_BROKEN_NEXT_HOOK"])
