"""The revision of WhatsApp Web that one worker has found, for all workers: `wa:web-revision`."""

from shared.core import keys, odd
from shared.core.clock import now_ms
from shared.core.datum import Datum
from shared.state.pool import OverRedis, answer


class SharedRevision(Datum):
    """The newest revision that was found, when (ms since the epoch) and where; the newest that WhatsApp has refused.
    0 and an empty text if there is none."""

    number: int = 0
    at: int = 0
    source: str = ""
    refused: int = 0


class WebRevisions(OverRedis):
    """Reads and writes it. Two workers may write at once: each reader keeps the highest that it has seen."""

    async def read(self) -> SharedRevision:
        """The revision as it is known now. What is no number there is taken for none."""
        found = await answer(self._redis.hgetall(keys.WEB_REVISION))
        number, at, refused = (odd.number(found.get(name)) for name in (b"number", b"at", b"refused"))
        return SharedRevision(number, at, odd.text(found.get(b"source"))[:32], refused)

    async def found(self, number: int, source: str) -> None:
        """Tell the others of a revision."""
        found = {"number": number, "at": now_ms(), "source": source}
        await self._keep(keys.WEB_REVISION, found, keys.WEB_REVISION_TTL)

    async def refused(self, number: int) -> None:
        """Tell the others that WhatsApp refuses a revision."""
        await self._keep(keys.WEB_REVISION, {"refused": number}, keys.WEB_REVISION_TTL)

    async def accepted(self, number: int) -> None:
        """Take back that WhatsApp refuses a revision."""
        if (await self.read()).refused == number:
            await answer(self._redis.hdel(keys.WEB_REVISION, "refused"))

    async def is_news(self, refused: int) -> bool:
        """True for the first that asks about a refused revision within a day."""
        return bool(await self._redis.set(keys.web_revision_told(refused), now_ms(), nx=True, px=keys.DAY))
