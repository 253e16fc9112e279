"""The version of WhatsApp Web that our client claims to be: `2.3000.N`, where N, the revision, grows every day.

WhatsApp refuses a revision some 126 to 150 days after its day (failure 405), for all sessions at their next login.
"""

import re
from enum import StrEnum

from shared.core import keys
from shared.core.datum import Datum

OFF = "off"
OLD_DAYS = 110.0
"""A client of this age is about to be refused: from here on a newer revision is used before that happens."""
AGEING_DAYS = 100.0
"""A client of this age is told about: time for a newer library."""
GROWTH = 40_000_000
"""A revision that is further above the library's own, by more than a year, is not believed."""
PER_DAY = 60_000
"""The growth of the revision in a day (measured: 51,000 to 72,000)."""
_VERSION = re.compile(r"2\.3000\.(\d{9,10})")


class ClientHealth(StrEnum):
    """The state of a worker's client in a word. `unknown`: the version is not where it should be in the library."""

    OK = "ok"
    OLD = "old"
    REFUSED = "refused"
    UNKNOWN = "unknown"


class VersionWish(Datum):
    """The operator's wish: a revision of at least `least` (0: none in particular), or the library's own if `off`."""

    least: int = 0
    off: bool = False


def parse_wish(text: str) -> VersionWish:
    """The wish that `2.3000.N`, `off` or an empty text expresses. Raises ValueError."""
    if not text:
        return VersionWish()
    if text == OFF:
        return VersionWish(off=True)
    match = _VERSION.fullmatch(text)
    if match is None:
        raise ValueError("must be empty, 2.3000.N (such as 2.3000.1047769893), or off")
    return VersionWish(least=int(match[1]))


def version_text(revision: int) -> str:
    return f"2.3000.{revision}"


def is_credible(revision: int, own: int) -> bool:
    """True for a revision that may stand in place of the library's `own`: newer, and not absurdly so."""
    return own < revision < own + GROWTH


def choose(own: int, age_days: float, wish: VersionWish, known: int, refused: int) -> int:
    """The revision to log in with. `known`: the newest that anybody has found; `refused`: the newest that WhatsApp did.

    The library's own is used while it is young and not refused, because its number and its schema belong together.
    """
    if wish.off:
        return own
    best = max(own, wish.least) if is_credible(wish.least, own) else own
    if (refused >= best or age_days > OLD_DAYS) and is_credible(known, own):
        return max(best, known)
    return best


def is_search_due(own: int, age_days: float, wish: VersionWish, known: int, refused: int) -> bool:
    """True if a newer revision is wanted than all that are known."""
    if wish.off:
        return False
    return refused >= choose(own, age_days, wish, known, refused) or (age_days > OLD_DAYS and known <= own)


def age_days(revision: int, own: int, born: int, now: int) -> float:
    """The age of a revision, from the day (ms) on which the library's own was `born` and the usual growth."""
    return max(0.0, (now - born) / keys.DAY - (revision - own) / PER_DAY)
