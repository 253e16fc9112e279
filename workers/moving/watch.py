"""The outcome of a take-over: read from the registry, the lease and the snapshot, never asked of WhatsApp."""

import asyncio
import time

from redis.asyncio import Redis

from shared.core.described import Described
from shared.core.ids import SessionId
from shared.core.lifecycle import State
from shared.core.protocol import Body
from shared.state.lease import Leases
from shared.state.snapshots import Snapshots
from workers.engine.protocol import LostReason
from workers.store.device import DeviceStore, StoredDevice

LOOK_SECONDS = 0.25


class MoveOutcome(Described):
    """The result for a device that was taken over, with a sentence for the operator. A failed device has its own."""

    HELD = "held", "held, as the same device"
    REPLACED = "replaced", "the old service is back: stop it, then import with --again"
    BANNED = "banned", "WhatsApp has banned the account for a time; the device is parked and tried again after it"
    RESTRICTED = "restricted", "WhatsApp has restricted the account; the device is parked and tried again for a month"
    LOGGED_OUT = "logged-out", "removed on the phone: send the owner a link"
    WAITING = "waiting", "in the store; no worker has logged it in yet"
    FAILED = "failed"


BAD = frozenset({MoveOutcome.REPLACED, MoveOutcome.BANNED, MoveOutcome.RESTRICTED, MoveOutcome.LOGGED_OUT})


def outcome_of(device: StoredDevice | None, jid: str, body: Body, *, logged_in: bool) -> MoveOutcome | None:
    """The outcome, or None while it is open. `logged_in`: the body was written by a worker that took the device up."""
    if device is None or device.jid != jid:
        return MoveOutcome.LOGGED_OUT
    if device.parked:
        return _PARKED.get(device.parked.partition(":")[0], MoveOutcome.REPLACED)
    return MoveOutcome.HELD if logged_in and body.state is State.LINKED else None


_PARKED = {LostReason.BANNED.value: MoveOutcome.BANNED, LostReason.RESTRICTED.value: MoveOutcome.RESTRICTED}


class Watch:
    """Looks at devices that were taken over."""

    def __init__(self, redis: Redis, store: DeviceStore) -> None:
        self._store = store
        self._leases = Leases(redis)
        self._snapshots = Snapshots(redis)

    async def until_known(self, session: SessionId, jid: str, token: int, seconds: float) -> MoveOutcome:
        """The outcome, within `seconds`; `token` is the lease under which the device was taken over."""
        until = time.monotonic() + seconds
        while (outcome := await self._look(session, jid, token)) is None:
            if time.monotonic() > until:
                return MoveOutcome.WAITING
            await asyncio.sleep(LOOK_SECONDS)
        return outcome

    async def _look(self, session: SessionId, jid: str, token: int) -> MoveOutcome | None:
        stored = await self._snapshots.read(session)
        logged_in = stored.attempt > token and await self._leases.owner(session) is not None
        return outcome_of(await self._store.device(session), jid, stored.body, logged_in=logged_in)
