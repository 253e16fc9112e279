"""A name space for everything in Redis: `x:` before each key, channel and queue, arq's own as well.

Databases of one server share their channels, and two stacks in one database share everything. So the connection
changes the names, as every command goes through it. Everything above it, arq included, knows the plain names only.
"""

from collections.abc import Iterable, Sequence
from typing import Any


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_NONE = _words(
    "AUTH CLIENT CLUSTER COMMAND CONFIG DBSIZE DISCARD EXEC HELLO INFO MULTI PING QUIT ROLE SCRIPT SELECT TIME UNWATCH "
    "WAIT FLUSHDB FLUSHALL"
)
"""Commands without a name."""
_FIRST = _words(
    "DECR EXPIRE GET GETDEL HDEL HGET HGETALL HINCRBY HKEYS HLEN HMGET HMSET HSET HEXISTS INCR INCRBY LINDEX LLEN LPOP LPUSH "
    "LRANGE LREM LTRIM PERSIST PEXPIRE PEXPIREAT PSETEX PTTL PUBLISH RPOP RPUSH SADD SCARD SET SETEX SETNX SISMEMBER SMEMBERS "
    "SPOP SRANDMEMBER SREM STRLEN TTL TYPE XADD XDEL XLEN XRANGE XREVRANGE XTRIM ZADD ZCARD ZCOUNT ZINCRBY ZMSCORE ZRANGE "
    "ZRANGEBYSCORE ZRANK ZREM ZREMRANGEBYRANK ZREMRANGEBYSCORE ZREVRANGE ZSCORE"
)
"""Commands whose first argument is a name."""
_ALL = _words("DEL EXISTS MGET PSUBSCRIBE PUNSUBSCRIBE SUBSCRIBE TOUCH UNLINK UNSUBSCRIBE WATCH")
"""Commands whose arguments are all names."""
_COUNTED = frozenset({"EVAL", "EVALSHA"})
"""Commands whose second argument says how many names follow."""
_HEARD = frozenset({b"message", b"subscribe", b"unsubscribe", b"pmessage", b"psubscribe", b"punsubscribe"})


class Namespace:
    """Puts `<name>:` before every name, and takes it away from what is heard on a channel."""

    def __init__(self, name: str) -> None:
        self._prefix = f"{name}:".encode()

    def within(self, command: Sequence[Any]) -> list[Any]:
        """The command with its names in the name space. Raises ValueError for a command that is not in our tables."""
        words = str(command[0] if isinstance(command[0], str) else bytes(command[0]).decode()).upper().split()
        start, stop = self._names(words[0], command)
        return [*command[:start], *map(self._named, command[start:stop]), *command[stop:]]

    def heard(self, answer: Any) -> Any:
        """An answer on a connection that listens, with its channel as everybody else knows it."""
        if isinstance(answer, list) and len(answer) > 1 and answer[0] in _HEARD:
            return [answer[0], *map(self._bare, answer[1:2]), *answer[2:]]
        return answer

    def _names(self, word: str, command: Sequence[Any]) -> tuple[int, int]:
        if word in _NONE:
            return 1, 1
        if word in _FIRST:
            return 1, 2
        if word in _ALL:
            return 1, len(command)
        if word in _COUNTED:
            return 3, 3 + int(command[2])
        if word == "SCAN":
            at = _place(command, "MATCH")
            return at, at + 1
        if word == "XREAD":
            at = _place(command, "STREAMS")
            return at, at + (len(command) - at) // 2
        raise ValueError(f"{word} is in no table of shared/state/namespace.py")

    def _named(self, name: Any) -> bytes:
        return self._prefix + (name if isinstance(name, bytes) else str(name).encode())

    def _bare(self, name: Any) -> Any:
        return name[len(self._prefix) :] if isinstance(name, bytes) and name.startswith(self._prefix) else name


def _place(command: Iterable[Any], word: str) -> int:
    """The place behind a word of the command. Raises ValueError if it is not there."""
    words = [one.decode().upper() if isinstance(one, bytes) else str(one).upper() for one in command]
    return words.index(word) + 1
