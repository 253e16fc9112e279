"""Receivers of webhooks: the service's own, and those of companies that have their own."""

from urllib.parse import urlsplit

from pydantic import HttpUrl
from redis.asyncio import Redis

from shared.core import keys, odd
from shared.core.datum import Datum
from shared.core.events import DEFAULT_EVENTS, EventType
from shared.core.hosts import Network, address_in, may_reach
from shared.core.ids import CompanyId, SessionId, company_of, session_of
from shared.core.signing import key_of
from shared.settings import Settings
from shared.state.pool import answer


class Receiver(Datum):
    """A server that takes events. `own`: a company's, which has chosen the address, so that not each may be reached."""

    url: str
    secret: str
    events: frozenset[str]
    own: bool

    def wants(self, kind: str) -> bool:
        """True if events of this kind go there. A test always does."""
        return kind in self.events or kind == EventType.TEST.value


def read_receiver(url: str, secret: str, events: str) -> Receiver | None:
    """A company's own receiver, as Redis has it; None for what somebody else has written."""
    try:
        key_of(secret)
        HttpUrl(url)
    except ValueError:
        return None
    return Receiver(url, secret, frozenset(events.split()), own=True) if secret else None


class Receivers:
    def __init__(self, config: Settings, redis: Redis) -> None:
        self._redis = redis
        self.ours: Receiver | None = None  # the service's own
        if config.webhook_url is not None:
            events = frozenset(kind.value for kind in config.webhook_events)
            self.ours = Receiver(str(config.webhook_url), config.webhook_secrets[0], events, own=False)

    async def of(self, company: CompanyId) -> Receiver | None:
        """The receiver of a company's events: its own before the service's; None for neither."""
        return await self.own(company) or self.ours

    async def want_inbound(self, session: SessionId) -> bool:
        """True if the session's company, or the service, wants to hear of incoming messages."""
        receiver = await self.of(company_of(session))
        return receiver is not None and receiver.wants(EventType.MESSAGE_RECEIVED.value)

    async def own(self, company: CompanyId) -> Receiver | None:
        found = await answer(self._redis.hmget(keys.receiver(session_of(company)), ["url", "secret", "events"]))
        return read_receiver(*map(odd.text, found))

    async def put(self, company: CompanyId, url: str, secret: str, events: frozenset[EventType] | None) -> Receiver:
        """Give the company a receiver of its own. Idempotent."""
        kinds = sorted(kind.value for kind in (events if events is not None else DEFAULT_EVENTS))
        name = keys.receiver(session_of(company))
        await answer(self._redis.hset(name, mapping={"url": url, "secret": secret, "events": " ".join(kinds)}))
        return Receiver(url, secret, frozenset(kinds), own=True)

    async def forget(self, company: CompanyId) -> bool:
        """Take the company's own receiver back. True if there was one."""
        return bool(await self._redis.delete(keys.receiver(session_of(company))))


def check_target(url: str, allowed: tuple[Network, ...]) -> None:
    """Raise ValueError for a URL that a company's events may not go to. A name is looked up only when it is used."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    if (address_in(host) and not may_reach(host, allowed)) or host == "localhost" or host.endswith(".localhost"):
        raise ValueError("this address is not public, and not in WEBHOOK_NETWORKS")
