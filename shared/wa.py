"""The one way to the scripts of `shared/state/wa.lua`.

`await wa(redis, "request", session, subject=…)` runs `script.request` with the session's names and the service's own as keys,
by their roles, and everything else as one JSON object of named arguments. The answer is JSON, too.

Each call has a mark of its own. redis-py repeats a command whose answer was lost; under one mark a script is done once.
"""

import itertools
import re
import secrets
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from typing import Any, TypeVar, cast

import orjson
from redis.asyncio import Redis
from redis.exceptions import NoScriptError, ResponseError

from shared.core.ids import SessionId
from shared.core.lifecycle import IllegalStep
from shared.log import log
from shared.scripts import ScriptPart, cut

T = TypeVar("T")

_LIFE = secrets.token_hex(8)
"""Names this life of the process, so that no other makes its marks: the number of a call follows."""
_calls = itertools.count()
_KIND = re.compile(r"^.*?(?=wa:|arq:)")


async def wa(
    redis: Redis,
    script: str,
    session: SessionId | None = None,
    /,
    *,
    names: Mapping[str, str] = {},
    looks: bool = False,
    **arguments: Any,
) -> Any:
    """Run `script`; its answer. `names`: further keys by their roles. `looks`: the script may be done twice, since it
    changes nothing. Arguments that are None are left out. Raises `IllegalStep`, and redis' own errors."""
    part = cut(script)
    by_role = dict(part.service)
    if session is not None:
        by_role |= {role: name(session) for role, name in part.session.items()}
        arguments["session"] = session
    by_role |= names
    told = orjson.dumps({name: value for name, value in arguments.items() if value is not None})
    mark = "" if looks else f"{_LIFE}{next(_calls):x}"
    try:
        said = await _run(redis, part, len(by_role), *by_role.values(), script, ",".join(by_role), told, mark)
    except ResponseError as error:
        _, illegal, step = str(error).partition("ILLEGAL ")
        if not illegal:
            raise
        raise IllegalStep(f"{step.partition('!')[0].replace(' ', ' → ')} is not in the lifecycle table") from None
    return _read(said)


async def _run(redis: Redis, part: ScriptPart, *words: int | str | bytes) -> bytes | str:
    evalsha = cast("Callable[..., Awaitable[bytes | str]]", redis.evalsha)
    with suppress(NoScriptError):
        return await evalsha(part.digest, *words)
    await redis.script_load(part.source)
    with suppress(NoScriptError):
        return await evalsha(part.digest, *words)
    # In a fail-over each connection may lead to another server that does not know the script, so send it whole.
    evaluate = cast("Callable[..., Awaitable[bytes | str]]", redis.eval)
    return await evaluate(part.source, *words)


def tell_odd(name: str) -> None:
    """Log that a value under one of our names was thrown away: the kind of the name, without its ids and the value."""
    log.error("redis.odd-value", name=":".join(_KIND.sub("", name).split(":")[:2]))


def _read(said: bytes | str) -> Any:
    answer, *odd = (said.encode() if isinstance(said, str) else said).split(b"\n")
    for name in odd:
        tell_odd(name.decode(errors="replace"))
    try:
        return orjson.loads(answer)
    except ValueError:  # a script may pass on a value that somebody else wrote and that is not UTF-8
        return orjson.loads(answer.decode(errors="replace"))


def batches(things: Iterable[T], most: int = 200) -> Iterator[list[T]]:
    """Lists of at most `most` things, so that no script keeps others waiting for long."""
    rest = iter(things)
    while some := list(islice(rest, most)):
        yield some


def many(answer: Any) -> list[Any]:
    """The list that a script answered. An empty table of Lua arrives as an object, and is an empty list."""
    return list(answer) if answer else []
