"""The outcome of a take-over: read from the registry, the lease and the snapshot, never asked of WhatsApp."""

from shared.core.described import Described
from shared.core.ids import CompanyId, session_of
from shared.core.lifecycle import State
from shared.core.protocol import Body
from shared.state.lease import Leases
from shared.state.snapshots import Snapshots
from shared.tasks import found
from workers.engine.protocol import LostReason
from workers.moving.service import Service
from workers.moving.verdicts import JudgedDevice
from workers.store.device import StoredDevice

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


async def until_known(service: Service, one: JudgedDevice, token: int, seconds: float) -> MoveOutcome:
    """The outcome, within `seconds`; `token` is the lease under which the device was taken over."""
    session, store, redis = session_of(CompanyId(one.company)), service.store, service.redis

    async def look() -> MoveOutcome | None:
        stored = await Snapshots(redis).read(session)
        logged_in = stored.attempt > token and await Leases(redis).owner(session) is not None
        return outcome_of(await store.device(session), one.found.jid, stored.body, logged_in=logged_in)

    return await found(look, seconds, LOOK_SECONDS) or MoveOutcome.WAITING
