"""The state of sessions in Redis, read for the commands."""

from typing import Any

from arq.connections import ArqRedis

from app.cli.terminal import Cannot
from shared.core import keys, odd
from shared.core.clock import now_ms
from shared.core.ids import SessionId, WorkerId, company_id, company_of, session_of, sort_sessions
from shared.core.lifecycle import RUNNING, State
from shared.core.reference import reference_of
from shared.state.lease import Leases
from shared.state.snapshots import Snapshots, Stored
from shared.wa import batches

_PREFIX = keys.snapshot(SessionId("")).encode()
_BATCH = 500
_ATTEMPTS_BACK = 50
"""Attempts of a session that are searched for a reference. An owner reads out that of a recent one."""


def session_named(text: str) -> SessionId:
    """The session of a company, by the company's or the session's name. Raises `Cannot`."""
    try:
        is_session = text.startswith("company_") and company_of(SessionId(text))
        return SessionId(text) if is_session else session_of(company_id(text))
    except ValueError as error:
        raise Cannot(f"{text!r} is no company: {error}.") from None


class SessionRecord(Stored, kw_only=True):
    """A session: its snapshot, owner and token as its lease names them, and whether that owner lives."""

    owner: WorkerId | None
    token: int
    owned: bool

    @property
    def state(self) -> State:
        return self.body.state

    @property
    def parked(self) -> bool:
        """True if the device is kept but not held. A failed session shows a device only then."""
        return self.state is State.FAILED and self.body.device is not None

    @property
    def overdue_ms(self) -> int:
        """Time since the deadline of a running onboarding, in ms; 0 before it."""
        deadline = self.body.deadline
        return max(0, now_ms() - deadline) if deadline and self.state in RUNNING else 0

    def data(self) -> dict[str, Any]:
        """For programs. Without QR and code: they are the owner's."""
        shown = self.body.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"qr", "code"})
        lease = {"worker": self.owner, "token": self.token, "alive": self.owned} if self.owner else None
        return {
            "session": self.session,
            "attempt": self.attempt,
            "seq": self.seq,
            **shown,
            "owned": self.owned,
            "lease": lease,
        }


async def read(redis: ArqRedis, sessions: list[SessionId]) -> list[SessionRecord]:
    """Records of these sessions, as far as Redis knows them."""
    found: list[SessionRecord] = []
    for some in batches(sessions, _BATCH):
        owners = await redis.mget([keys.lease(session) for session in some])
        living = await Leases(redis).owners(some)
        for stored, owner, alive in zip(await Snapshots(redis).read_all(some), owners, living, strict=True):
            worker, _, token = odd.text(owner).rpartition(":")
            if stored.attempt:
                leased = WorkerId(worker) if worker else None
                about = stored.session, *stored.version, stored.body
                found.append(SessionRecord(*about, owner=leased, token=odd.number(token), owned=alive is not None))
    return found


async def read_one(redis: ArqRedis, session: SessionId) -> SessionRecord | None:
    """The record of a session; None if Redis does not know it."""
    return next(iter(await read(redis, [session])), None)


async def newest(redis: ArqRedis, stream: str, most: int, *fields: str) -> list[dict[str, Any]]:
    """The newest entries of a stream, the newest first: `at` (ms), and texts, of which `fields` are there in any case."""
    return [
        dict.fromkeys(fields, "")
        | {odd.text(name): odd.text(value) for name, value in entry.items()}
        | {"at": odd.number(place.split(b"-")[0])}
        for place, entry in await redis.xrevrange(stream, count=most)
    ]


async def everything(redis: ArqRedis) -> list[SessionRecord]:
    """Every session of which there is a snapshot, by name."""
    found = {key.rpartition(_PREFIX)[2] async for key in redis.scan_iter(match=_PREFIX + b"*", count=_BATCH)}
    names, _ = sort_sessions(found)
    return await read(redis, sorted(names))


async def find_referred(redis: ArqRedis, reference: str) -> tuple[SessionId, int] | None:
    """The session and the attempt to which a reference belongs; the newest attempt if two share one."""
    for record in await everything(redis):
        for attempt in range(record.attempt, max(-1, record.attempt - _ATTEMPTS_BACK), -1):
            if reference_of(record.session, attempt) == reference:
                return record.session, attempt
    return None
