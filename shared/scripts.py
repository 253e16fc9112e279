"""Cuts `shared/state/wa.lua`, the file with every script of the product, for Redis.

Redis runs a file from its first line at every call. So each script is sent as a file of its own, with the parts of `wa.lua`,
the facts and the names that it needs.
"""

import functools
import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arq.constants import in_progress_key_prefix, job_key_prefix

from shared.core import keys
from shared.core.ids import SESSION_PREFIX, SessionId, WorkerId
from shared.core.lifecycle import CANCELLABLE, DEVICE, RUNNING, STEPS, State
from shared.telemetry.metrics import BUCKETS, Counter

LEASE_MS = 7_000
"""A worker whose last heartbeat is older than this owns nothing any more."""
SETTLING_MS = 5_000
"""After Redis was away or went back, only owners act for so long: two heartbeats, and what follows from them."""
SWEEP_GRACE_MS = 20_000
"""Anybody may close an onboarding that is past its deadline by so much. Its own worker always comes first."""

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
    "heard_of": keys.heard(""),
    "inbox_of": keys.inbox(SessionId("")),
    "lost_of": keys.lost(SessionId("")),
    "snapshot_of": keys.snapshot(SessionId("")),
    "subject_of": keys.subject(SessionId("")),
    "receiver_of": keys.receiver(SessionId("")),
    "alive_of": keys.alive(WorkerId("")),
    "report_of": keys.worker(WorkerId("")),
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
    """The rules of the service that the scripts need."""
    return {
        "steps": {state.value: _set(steps) for state, steps in STEPS.items()},
        "running": _set(RUNNING),
        "cancellable": _set(CANCELLABLE),
        "device": _set(DEVICE),
        "company": SESSION_PREFIX,
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
        "year": 365 * keys.DAY,
        "odd": Counter.ODD_VALUES.value,
    }


def _lua(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"[{_lua(name)}]={_lua(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list):
        return "{" + ",".join(map(_lua, value)) + "}"
    if isinstance(value, str):
        return f"'{value}'"
    return "true" if value is True else str(value)


_PIECE = re.compile(r"^(?:local function (\w+)|function (script\.\w+)|function (\w+)\.|local (\w+) = )", re.MULTILINE)
_COMMENT = re.compile(r"^\s*--.*\n", re.MULTILINE)
_CALL = "local index = 0"
"""The first line of what every script ends with."""


@functools.cache
def _pieces() -> tuple[str, tuple[tuple[str, str], ...], str]:
    """`wa.lua` cut into its beginning, its definitions by their names, and its end."""
    text, _, end = _COMMENT.sub("", _SOURCE.read_text()).partition(_CALL)
    found = list(_PIECE.finditer(text))
    stops = [one.start() for one in found[1:]] + [len(text)]
    named = tuple(
        (next(filter(None, one.groups())), text[one.start() : stop]) for one, stop in zip(found, stops, strict=True)
    )
    return text[: found[0].start()], named, _CALL + end


@dataclass(frozen=True, slots=True)
class ScriptPart:
    """The part of `wa.lua` that Redis gets for one script. `service` and `session`: the roles of the names that it uses."""

    source: str
    digest: str
    service: dict[str, str]
    session: dict[str, Callable[[SessionId], str]]


@functools.cache
def cut(script: str) -> ScriptPart:
    """The part of `wa.lua` that a script needs, with its facts on the first line. Raises KeyError for an unknown script."""
    beginning, named, end = _pieces()
    if f"script.{script}" not in dict(named):
        raise KeyError(script)
    needed, words = set[str](), {f"script.{script}", *re.findall(r"\w+", end)}
    while more := [(name, text) for name, text in named if name in words and name not in needed]:
        needed |= {name for name, _ in more}
        words |= {word for name, text in named if name in needed for word in re.findall(r"\w+", text)}
    body = beginning + "".join(text for name, text in named if name in needed) + end
    told = {name: value for name, value in facts().items() if f"facts.{name}" in body}
    source = f"local facts = {_lua(told)} {body}"
    roles = set(re.findall(r"key\.(\w+)", body))
    return ScriptPart(
        source,
        hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest(),
        {role: name for role, name in _OF_THE_SERVICE.items() if role in roles},
        {role: name for role, name in _OF_A_SESSION.items() if role in roles},
    )
