"""The links that were made: whose each is, and until when, so that its id alone tells how it stands."""

from dataclasses import dataclass

from redis.asyncio import Redis

from shared.core import keys, odd
from shared.core.clock import now_ms
from shared.core.ids import CompanyId, SessionId, company_id, session_of
from shared.state.pool import answer


@dataclass(frozen=True, slots=True)
class MadeLink:
    """A link as it was made. `expires_at` in ms since the epoch."""

    id: str
    company: CompanyId
    expires_at: int

    @property
    def session(self) -> SessionId:
        """The session that the link may link."""
        return session_of(self.company)


class LinkBook:
    """The record of links, over one Redis."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def write(self, link: MadeLink) -> None:
        """Keep the record until a month after the link's end. Idempotent."""
        name, left = keys.made_link(link.id), link.expires_at - now_ms()
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hset(name, mapping={"company": link.company, "expiresAt": link.expires_at})
            pipe.pexpire(name, max(left, 0) + keys.LINK_RECORD_TTL)
            await pipe.execute()

    async def read(self, link_id: str) -> MadeLink | None:
        """The record; None for an id of which nothing is known."""
        company, expires_at = await answer(self._redis.hmget(keys.made_link(link_id), ["company", "expiresAt"]))
        try:
            until = odd.number(expires_at)
            return MadeLink(link_id, company_id(odd.text(company)), until) if until else None
        except ValueError:  # written by somebody else
            return None

    async def begun_by(self, session: SessionId) -> str:
        """The id of the link that began the attempt which runs; empty for none."""
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.exists(keys.claim(session))
            pipe.hget(keys.subject(session), "link")
            runs, link = await pipe.execute()
        return odd.text(link).rpartition(":")[0] if runs else ""
