"""Acts that anybody may do for an onboarding whose worker is gone: close it when its time is over, or begin it anew.

Each is one script and moves the fence, so that an owner that comes back is fenced off.
"""

from dataclasses import replace
from typing import Any

from shared.core import keys
from shared.core.failures import FailureCode
from shared.core.ids import SessionId, sort_sessions
from shared.core.lifecycle import State
from shared.core.protocol import Body, FailureView, MessageType
from shared.jobs.queue import link_job
from shared.scripts import SWEEP_GRACE_MS
from shared.state.events import Telling
from shared.state.snapshots import Change
from shared.telemetry import sentry
from shared.telemetry.metrics import UNKNOWN_REGION, ended, failed
from shared.wa import wa

__all__ = ["MOST_FOUND", "SWEEP_GRACE_MS", "Rescue", "lost_worker", "waited_in_vain"]

MOST_FOUND = 1000


def lost_worker() -> Change:
    """The ending of an onboarding whose worker is gone for good."""
    code = FailureCode.WORKER_LOST
    body = Body(state=State.FAILED, failure=FailureView.of(code))
    counters = failed(code, UNKNOWN_REGION), ended(State.FAILED)
    return Change(body, MessageType.ERROR, "attempt.failed", code.value, counters)


def waited_in_vain() -> Change:
    """The ending of an onboarding for which no worker had a place in time."""
    body = Body(state=State.EXPIRED)
    return Change(body, MessageType.STATUS, "attempt.expired", "in the queue", (ended(State.EXPIRED),))


class Rescue(Telling):
    async def overdue(self) -> list[SessionId]:
        """Sessions whose onboarding should have ended: they are past its deadline and grace; `MOST_FOUND` at most."""
        seconds, micros = await self._redis.time()
        latest = seconds * 1000 + micros // 1000 - SWEEP_GRACE_MS
        return sort_sessions(await self._redis.zrangebyscore(keys.CLAIMS, "-inf", latest, start=0, num=MOST_FOUND))[0]

    async def close_overdue(self, session: SessionId, *counters: str) -> bool:
        """Close a running onboarding, if it is past its deadline and grace; True if it was. It ends as `expired` if no
        worker had begun it, else as failed (`worker-lost`). Anybody may call."""

        def told(ended: Change) -> dict[str, Any]:
            change = replace(ended, counters=(*ended.counters, *counters))
            return {"change": change.dump(), "event": self._news.of(session, change.told, change.body)}

        closed = await wa(self._redis, "close_overdue", session, **told(lost_worker()), waited=told(waited_in_vain()))
        if closed == State.FAILED:
            sentry.ending("overdue", FailureCode.WORKER_LOST, session=session)
        return bool(closed)

    async def restart(self, session: SessionId, change: Change) -> int | None:
        """Begin an ownerless onboarding anew, with its job. Return its new attempt, or None if there is none to begin."""
        attempt = await wa(self._redis, "restart", session, change=change.dump(), job=link_job(session))
        return int(attempt) or None
