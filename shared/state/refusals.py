"""Refusals: words by which Redis says that it cannot serve, and the errors that they become.

The connection on which one was said is dropped, because behind the same name another server may have taken over.
"""

import re

from redis import exceptions

REFUSALS: dict[str, str] = {
    "READONLY": "Redis is a replica and takes no writes",
    "MASTERDOWN": "Redis is a replica that has lost its primary",
    "LOADING": "Redis reads its data from disk",
    "CLUSTERDOWN": "The Redis Cluster is down",
    "TRYAGAIN": "The Redis Cluster moves keys",
    "NOREPLICAS": "Redis has lost its replicas and takes no writes",
    "MISCONF": "Redis cannot save to its disk and takes no writes",
    "OOM": "Redis is full and takes no writes",
    "BUSY": "Redis is busy with a script",
    "UNKILLABLE": "Redis is busy with a script",
    "NOPERM": "Redis does not allow its user what this service needs",
    "NOAUTH": "Redis wants a password",
    "WRONGPASS": "Redis refuses the password",
    "NOPASS": "Redis has no password, but REDIS_URL names one",
    "NODB": "Redis has no database of the number in REDIS_URL",
    "LIMIT": "The plan of Redis is used up",
    "MOVED": "Redis is a cluster, which this service does not support",
    "ASK": "Redis is a cluster, which this service does not support",
    "CROSSSLOT": "Redis is a cluster, which this service does not support",
}
"""Words of Redis, each with its meaning in a sentence that ends at "(WORD)"."""
MOVES = frozenset({"READONLY", "MASTERDOWN", "LOADING", "CLUSTERDOWN", "TRYAGAIN", "NOAUTH"})
"""A new connection may lead to a server that serves, so the command is said again at once."""
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

    def __init__(self, word: str, meaning: str) -> None:
        super().__init__(f"{meaning} ({word})")
        self.word = word


class RedisMoved(RedisRefuses, exceptions.ConnectionError):
    """A refusal by a server in whose place another may serve: worth a new connection."""


class PoolBusy(exceptions.ConnectionError):
    """Every connection of this process is in use for longer than a caller waits."""


def refusal(error: BaseException) -> RedisRefuses | None:
    """The refusal that an error of redis-py stands for; None for another error."""
    if isinstance(error, RedisRefuses):
        return error
    if (word := _word_of(error)) is None:
        return None
    return (RedisMoved if word in MOVES else RedisRefuses)(word, REFUSALS.get(word, "Redis cannot serve"))


def _word_of(error: BaseException) -> str | None:
    text = str(error)
    if isinstance(error, exceptions.ResponseError | exceptions.AuthenticationError):
        for sentence, word in _SENTENCES:
            if sentence.search(text):
                return word
    if isinstance(error, exceptions.AuthenticationError):
        return "NOAUTH" if "required" in text else "WRONGPASS"
    for kind, word in _BY_TYPE:
        if isinstance(error, kind):
            return word
    if not isinstance(error, exceptions.ResponseError):
        return None
    if found := _WORD.search(text):
        return found[1]
    other = _OTHER_WORD.match(text)
    return other[0] if other is not None and other[0] not in _OF_COMMANDS else None


def refused_greeting(error: exceptions.RedisError) -> exceptions.RedisError:
    """Refusal that an error stands for while a connection is made: whatever is wrong then, no command is at fault."""
    if isinstance(error, exceptions.ResponseError):
        return refusal(error) or RedisRefuses("ERR", "Redis refuses the connection")
    return refusal(error) or error


def reason(error: BaseException) -> str:
    """Trouble of Redis in a few words, without any value."""
    if isinstance(error, PoolBusy):
        return "All connections to Redis are in use"
    found = refusal(error)
    return str(found) if found is not None else f"Redis cannot be reached ({type(error).__name__})"
