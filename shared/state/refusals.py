"""Refusals: words by which Redis says that it cannot serve, and the errors that they become.

The connection on which one was said is dropped, because behind the same name another server may have taken over.
"""

import re
from dataclasses import dataclass

from redis import exceptions


@dataclass(frozen=True, slots=True)
class RedisRefusal:
    """A word of Redis, and its meaning in a sentence that ends at "(WORD)".

    `moves`: a new connection may lead to a server that serves, so the command is said again at once.
    """

    word: str
    meaning: str
    moves: bool = False


REFUSALS: dict[str, RedisRefusal] = {
    one.word: one
    for one in (
        RedisRefusal("READONLY", "Redis is a replica and takes no writes", moves=True),
        RedisRefusal("MASTERDOWN", "Redis is a replica that has lost its primary", moves=True),
        RedisRefusal("LOADING", "Redis reads its data from disk", moves=True),
        RedisRefusal("CLUSTERDOWN", "The Redis Cluster is down", moves=True),
        RedisRefusal("TRYAGAIN", "The Redis Cluster moves keys", moves=True),
        RedisRefusal("NOREPLICAS", "Redis has lost its replicas and takes no writes"),
        RedisRefusal("MISCONF", "Redis cannot save to its disk and takes no writes"),
        RedisRefusal("OOM", "Redis is full and takes no writes"),
        RedisRefusal("BUSY", "Redis is busy with a script"),
        RedisRefusal("UNKILLABLE", "Redis is busy with a script"),
        RedisRefusal("NOPERM", "Redis does not allow its user what this service needs"),
        RedisRefusal("NOAUTH", "Redis wants a password", moves=True),
        RedisRefusal("WRONGPASS", "Redis refuses the password"),
        RedisRefusal("NOPASS", "Redis has no password, but REDIS_URL names one"),
        RedisRefusal("NODB", "Redis has no database of the number in REDIS_URL"),
        RedisRefusal("LIMIT", "The plan of Redis is used up"),
        RedisRefusal("MOVED", "Redis is a cluster, which this service does not support"),
        RedisRefusal("ASK", "Redis is a cluster, which this service does not support"),
        RedisRefusal("CROSSSLOT", "Redis is a cluster, which this service does not support"),
    )
}

READABLE = frozenset({"READONLY", "NOREPLICAS", "MISCONF", "OOM"})
"""A server that says these answers reads as ever."""

#: redis-py takes these words away from the text, and says them by the type of the error.
_BY_TYPE: tuple[tuple[type[exceptions.RedisError], str], ...] = (
    (exceptions.ReadOnlyError, "READONLY"),
    (exceptions.OutOfMemoryError, "OOM"),
    (exceptions.BusyLoadingError, "LOADING"),
    (exceptions.NoPermissionError, "NOPERM"),
)
#: Sentences of Redis, and of hosts before it, that begin with no word of their own.
_SENTENCES = (
    (re.compile(r"without any password|AUTH, but no password"), "NOPASS"),
    (re.compile(r"DB index is out of range|invalid DB index"), "NODB"),
    (re.compile(r"\bmax\b.*\b(?:exceeded|reached)|\blimit exceeded"), "LIMIT"),
)
#: Words that are about the command and not about the server.
_OF_COMMANDS = frozenset({"ERR", "WRONGTYPE", "NOSCRIPT", "BUSYGROUP", "BUSYKEY", "NOGROUP", "EXECABORT", "ILLEGAL"})
_OTHER_WORD = re.compile(r"[A-Z]{3,}\b")
#: At the beginning; behind "EXECABORT Transaction discarded because of: "; or, in Redis 6.2, behind a script's line.
_WORD = re.compile(rf"(?:^|(?:because of|@user_script): *(?:\d+: *)?-?)({'|'.join(REFUSALS)})\b")


class RedisRefuses(exceptions.RedisError):
    """Redis answers, and says that it cannot serve. The text is a sentence for a person, without any value."""

    def __init__(self, refusal: RedisRefusal) -> None:
        super().__init__(f"{refusal.meaning} ({refusal.word})")
        self.word = refusal.word


class RedisMoved(RedisRefuses, exceptions.ConnectionError):
    """The same, from a server in whose place another may serve: worth a new connection."""


class PoolBusy(exceptions.ConnectionError):
    """Every connection of this process is in use for longer than a caller waits."""


def refusal(error: BaseException) -> RedisRefuses | None:
    """The refusal that an error of redis-py stands for; None for another error."""
    if isinstance(error, RedisRefuses):
        return error
    if isinstance(error, exceptions.ResponseError | exceptions.AuthenticationError):
        for sentence, word in _SENTENCES:
            if sentence.search(str(error)):
                return _named(word)
    if isinstance(error, exceptions.AuthenticationError):
        return _named("NOAUTH" if "required" in str(error) else "WRONGPASS")
    for kind, word in _BY_TYPE:
        if isinstance(error, kind):
            return _named(word)
    if not isinstance(error, exceptions.ResponseError):
        return None
    if found := _WORD.search(str(error)):
        return _named(found[1])
    other = _OTHER_WORD.match(str(error))
    if other is not None and other[0] not in _OF_COMMANDS:
        return RedisRefuses(RedisRefusal(other[0], "Redis cannot serve"))
    return None


def refused_greeting(error: exceptions.RedisError) -> exceptions.RedisError:
    """Refusal that an error stands for while a connection is made: whatever is wrong then, no command is at fault."""
    if isinstance(error, exceptions.ResponseError):
        return refusal(error) or RedisRefuses(RedisRefusal("ERR", "Redis refuses the connection"))
    return refusal(error) or error


def _named(word: str) -> RedisRefuses:
    found = REFUSALS[word]
    return (RedisMoved if found.moves else RedisRefuses)(found)


def reason(error: BaseException) -> str:
    """Trouble of Redis in a few words, without any value."""
    if isinstance(error, PoolBusy):
        return "All connections to Redis are in use"
    found = refusal(error)
    return str(found) if found is not None else f"Redis cannot be reached ({type(error).__name__})"
