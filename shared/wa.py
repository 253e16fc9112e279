"""The one way to `shared/state/wa.lua`, the file with every script of the product.

`await wa("request", session, subject=…)` runs `script.request` with the session's names and the service's own as keys,
by their roles, and everything else as one JSON object of named arguments. The answer is JSON, too.

Each call has a mark of its own. redis-py repeats a command whose answer was lost; under one mark a script is done once.
"""

import functools
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import orjson
from arq.constants import in_progress_key_prefix, job_key_prefix
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from shared.core import keys
from shared.core.ids import SessionId, WorkerId
from shared.core.lifecycle import CANCELLABLE, DEVICE, RUNNING, STEPS, IllegalStep, State
from shared.telemetry.metrics import BUCKETS

T = TypeVar("T")

LEASE_MS = 7_000
"""A worker whose last heartbeat is older than this owns nothing any more."""
SETTLING_MS = 5_000
"""For so long after Redis was away or went back only owners speak: two heartbeats, and what they have to say."""
SWEEP_GRACE_MS = 20_000
"""Past its deadline by this much, a running onboarding is closed by anybody who sees it. Its own worker is always first."""

_SOURCE = Path(__file__).parent / "state" / "wa.lua"

_OF_THE_SERVICE: dict[str, str] = {
    "stats": keys.STATS,
    "workers": keys.WORKERS,
    "claims": keys.CLAIMS,
    "settling": keys.SETTLING,
    "webhooks": keys.WEBHOOKS,
    "dead": keys.DEAD_WEBHOOKS,
    "feed": keys.FEED,
    "offline": keys.OFFLINE,
    "sessions": keys.SESSIONS,
    # Beginnings of names: what comes behind them is known to the script alone.
    "said": keys.said(""),
    "webhook_of": keys.webhook(""),
    "alive_of": keys.alive(WorkerId("")),
    "held_by": keys.held(WorkerId("")),
    "taken_from": keys.taken(WorkerId("")),
    "lease_of": keys.lease(SessionId("")),
    "fence_of": keys.fence(SessionId("")),
    "job_of": job_key_prefix,
    "in_progress_of": in_progress_key_prefix,
}

_OF_A_SESSION: dict[str, Callable[[SessionId], str]] = {
    "snapshot": keys.snapshot,
    "events": keys.events,
    "timeline": keys.timeline,
    "claim": keys.claim,
    "starts": keys.starts,
    "subject": keys.subject,
    "lease": keys.lease,
    "fence": keys.fence,
    "receiver": keys.receiver,
}


def _set(states: Iterable[State]) -> dict[str, bool]:
    return {state.value: True for state in sorted(states)}


def facts() -> dict[str, Any]:
    """Everything that the scripts must know of the service's rules."""
    return {
        "steps": {state.value: _set(steps) for state, steps in STEPS.items()},
        "running": _set(RUNNING),
        "cancellable": _set(CANCELLABLE),
        "device": _set(DEVICE),
        "buckets": {histogram.value: list(bounds) for histogram, bounds in BUCKETS.items()},
        "lease": LEASE_MS,
        "settling": SETTLING_MS,
        "grace": SWEEP_GRACE_MS,
        "lease_name": keys.LEASE_KEY_TTL,
        "snapshot": keys.SNAPSHOT_TTL,
        "timeline": keys.TIMELINE_TTL,
        "timeline_length": keys.TIMELINE_LENGTH,
        "claim": keys.CLAIM_TTL,
        "subject": keys.SUBJECT_TTL,
        "webhook": keys.WEBHOOK_TTL,
        "heard": keys.DAY,
        "dead": keys.DEAD_TTL,
        "feed": keys.FEED_TTL,
        "feed_length": keys.FEED_LENGTH,
        "offline": keys.OFFLINE_MS,
        "message": keys.MESSAGE_TTL,
        "outbox": keys.OUTBOX_TTL,
        "once": keys.ONCE_TTL,
        "said": keys.SAID_TTL,
        "minute": keys.MINUTE,
    }


def _lua(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"[{_lua(name)}]={_lua(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list):
        return "{" + ",".join(map(_lua, value)) + "}"
    if isinstance(value, str):
        return f"'{value}'"
    return "true" if value is True else str(value)


@functools.cache
def source() -> str:
    """`wa.lua` with the facts put before it, on its first line."""
    return f"local facts = {_lua(facts())} {_SOURCE.read_text()}"


class Wa:
    """The scripts over one Redis."""

    def __init__(self, redis: Redis) -> None:
        self._run = redis.register_script(source())

    async def __call__(
        self,
        script: str,
        session: SessionId | None = None,
        /,
        *,
        names: Mapping[str, str] = {},
        looks: bool = False,
        **arguments: Any,
    ) -> Any:
        """Run `script`; its answer. `names`: further keys by their roles. `looks`: it changes nothing, or saying it
        twice is as good as saying it once. Arguments that are None are left out.

        Raises `IllegalStep`, and redis' own errors.
        """
        by_role = dict(_OF_THE_SERVICE)
        if session is not None:
            by_role |= {role: name(session) for role, name in _OF_A_SESSION.items()}
            arguments["session"] = session
        by_role |= names
        told = orjson.dumps({name: value for name, value in arguments.items() if value is not None})
        mark = "" if looks else secrets.token_hex(8)
        try:
            said = await self._run(keys=list(by_role.values()), args=[script, ",".join(by_role), told, mark])
        except ResponseError as error:
            _, illegal, step = str(error).partition("ILLEGAL ")
            if not illegal:
                raise
            raise IllegalStep(f"{step.partition('!')[0].replace(' ', ' → ')} is not in the lifecycle table") from None
        return _read(said)


def _read(said: bytes | str) -> Any:
    try:
        return orjson.loads(said)
    except ValueError:  # a script hands on what anybody may have put under a name, and not all of that is UTF-8
        return orjson.loads(said.decode(errors="replace") if isinstance(said, bytes) else said)


def batches(things: Iterable[T], most: int = 200) -> Iterator[list[T]]:
    """So many at a time: a script that looks at them makes nobody else wait for long."""
    rest = iter(things)
    while some := list(islice(rest, most)):
        yield some


def many(answer: Any) -> list[Any]:
    """A list that a script answered: an empty table of Lua's is none to JSON."""
    return list(answer) if answer else []
