"""Cool-downs: waits that spare WhatsApp requests which it would refuse; and the one living pairing code of a phone.

WhatsApp refuses codes for each phone (429, 400, 452), and each refused request makes it worse. So the phone waits after a
refusal, and the company and the browser's address after several; each wait is longer than the last. A phone can have one
living code only: a newer one kills the older silently, whichever company asked.

Keys are HMACs under SECRET_KEY, so that Redis holds no phone and no address; the values are for people to read.
"""

import hmac
from collections.abc import Container
from enum import StrEnum

import orjson
from pydantic import SecretStr
from redis.asyncio import Redis

from shared.core import keys, odd, phone
from shared.core.clock import now_ms
from shared.core.datum import Datum
from shared.core.ids import SessionId
from shared.wa import wa

MEMORY_MS = 6 * keys.HOUR
"""Memory of a refusal after the wait that it caused. Users were still refused 5 h later (Baileys#2008)."""


class Whose(StrEnum):
    """The one who has to wait."""

    PHONE = "phone"
    COMPANY = "company"
    ADDRESS = "address"


WAITS = tuple(minutes * keys.MINUTE for minutes in (1, 5, 15, 60, 240))
"""Waits (ms) for one refusal after the other; when there is no next, the last."""
FREE: dict[Whose, int] = {
    Whose.PHONE: 0,
    Whose.COMPANY: 3,
    # Behind one address may be a whole office, or a mobile operator.
    Whose.ADDRESS: 20,
}
"""First refusals that cost nothing."""


class Asker(Datum):
    """The asker of a code: the phone (E.164), the company's session, and the address' digest if it is known."""

    phone: str
    session: SessionId
    address: str = ""


class Wait(Datum):
    """Until when (ms since the epoch). `taken`: because another company has a living code for the phone."""

    until: int
    taken: bool = False


def waits_until(value: bytes | None) -> int:
    """End of a kept cool-down (ms since the epoch). 0 if the value is none of ours, or says more than a year."""
    until = odd.number(odd.fields(value).get("until"))
    return until if until <= now_ms() + 365 * keys.DAY else 0


class Cooldowns:
    """Over one Redis. `of_…`: the key of a company, of a phone (E.164), of the phone's one living code."""

    def __init__(self, redis: Redis, secret: SecretStr) -> None:
        self._redis = redis
        self._secret = secret.get_secret_value().encode()

    def digest(self, kind: str, name: str) -> str:
        """A name that tells nobody whose it is, and that nobody can guess without the secret."""
        return hmac.digest(self._secret, f"cooldown:{kind}:{name}".encode(), "sha256").hex()[:32]

    def address(self, host: str) -> str:
        """The digest of a browser's address, as `Asker` takes it."""
        return self.digest(Whose.ADDRESS, host)

    async def wait(self, asker: Asker) -> Wait | None:
        """The wait before a request for a code, if there is one. None for the session's own living code: it is shown."""
        code, *found = await self._redis.mget(self.of_code(asker.phone), *self._keys(asker).values())
        now = now_ms()
        if code is not None:
            if odd.text(code) == asker.session:
                return None
            left = await self._redis.pttl(self.of_code(asker.phone))
            if left > 0:
                return Wait(now + left, taken=True)
        until = max((waits_until(value) for value in found), default=0)
        return Wait(until) if until > now else None

    async def refused(self, asker: Asker, *, of: Container[Whose] = frozenset(Whose)) -> int | None:
        """Count a refused code against those `of` the asker. Returns the end of their wait (ms since the epoch), or None."""
        names = {whose.value: name for whose, name in self._keys(asker).items() if whose in of}
        free = {role: FREE[Whose(role)] for role in names}
        said = await wa(self._redis, "refuse", names=names, free=free, waits=WAITS, memory=MEMORY_MS)
        return int(said) or None

    async def until(self, number: str, moment: int) -> None:
        """Have the phone wait until `moment` (ms since the epoch): WhatsApp has banned it until then."""
        left = moment - now_ms()
        if left > 0:
            value = orjson.dumps({"refusals": 1, "until": moment})
            await self._redis.set(self.of_phone(number), value, px=left + MEMORY_MS)

    async def take_code(self, asker: Asker, ms: int) -> int | None:
        """Give the session the phone's one living code for `ms`. Returns the end of another session's code, or None."""
        names = {"code": self.of_code(asker.phone)}
        left = int(await wa(self._redis, "take_code", asker.session, names=names, life=ms))
        return now_ms() + left if left else None

    async def give_code_back(self, asker: Asker) -> None:
        """Give the phone's code back, so that another may be asked for. Another session's code stays."""
        await wa(self._redis, "give_code_back", asker.session, names={"code": self.of_code(asker.phone)})

    def _keys(self, asker: Asker) -> dict[Whose, str]:
        found = {Whose.PHONE: self.of_phone(asker.phone), Whose.COMPANY: self.of_company(asker.session)}
        if asker.address:
            found[Whose.ADDRESS] = keys.cooldown(asker.address)
        return found

    def of_company(self, session: SessionId) -> str:
        return keys.cooldown(self.digest(Whose.COMPANY, session))

    def of_phone(self, number: str) -> str:
        return keys.cooldown(self.digest(Whose.PHONE, phone.canonical(number)))

    def of_code(self, number: str) -> str:
        return keys.cooldown(self.digest("code", phone.canonical(number)))
