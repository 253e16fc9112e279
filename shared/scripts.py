"""Cuts `shared/state/wa.lua`, the file with every script of the product, for Redis.

Redis runs a file from its first line at every call. So each script is sent as a file of its own, with the parts of `wa.lua`,
the facts and the names that it needs.
"""

import functools
import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from arq.constants import in_progress_key_prefix, job_key_prefix

from shared.core import keys
from shared.core.datum import Datum
from shared.core.ids import SESSION_PREFIX, SessionId
from shared.core.lifecycle import CANCELLABLE, DEVICE, RUNNING, STEPS
from shared.telemetry.metrics import BUCKETS, Counter

LEASE_MS = 7_000
"""A worker whose last heartbeat is older than this owns nothing any more."""
SETTLING_MS = 5_000
"""After Redis was away or went back, only owners act for so long: two heartbeats, and what follows from them."""
SWEEP_GRACE_MS = 20_000
"""Anybody may close an onboarding that is past its deadline by so much. Its own worker always comes first."""

_SOURCE = Path(__file__).parent / "state" / "wa.lua"

_MADE = {name: one for name, one in vars(keys).items() if isinstance(one, keys.Key)}
_OF_THE_SERVICE: dict[str, str] = {
    **{name.lower(): one for name, one in vars(keys).items() if name.isupper() and isinstance(one, str)},
    **{f"{name}_of": one.begin() for name, one in _MADE.items()},
    "job_of": job_key_prefix,
    "in_progress_of": in_progress_key_prefix,
}
"""Names by their roles: `claims` is `keys.CLAIMS`, and `webhook_of` begins the names that `keys.webhook` makes."""
_OF_A_SESSION: dict[str, Callable[[SessionId], str]] = {
    name if len(one.ids) == 1 else f"{name}_of": one.begin for name, one in _MADE.items() if one.ids[0] == "session"
}
"""Names of one session: `claim` is that of its claim, and `message_of` begins those of its messages."""


def facts() -> dict[str, Any]:
    """The rules of the service that the scripts need: `facts.claim_ttl` is `keys.CLAIM_TTL`."""
    return {
        "steps": {state: dict.fromkeys(sorted(steps), True) for state, steps in STEPS.items()},
        "running": dict.fromkeys(sorted(RUNNING), True),
        "cancellable": dict.fromkeys(sorted(CANCELLABLE), True),
        "device": dict.fromkeys(sorted(DEVICE), True),
        "company": SESSION_PREFIX,
        "buckets": {histogram.value: list(bounds) for histogram, bounds in BUCKETS.items()},
        "lease": LEASE_MS,
        "settling": SETTLING_MS,
        "grace": SWEEP_GRACE_MS,
        **{name.lower(): one for name, one in vars(keys).items() if name.isupper() and isinstance(one, int)},
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


class ScriptPart(Datum):
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
    told = {name: value for name, value in facts().items() if re.search(rf"facts\.{name}\b", body)}
    source = f"local facts = {_lua(told)} {body}"
    roles = set(re.findall(r"key\.(\w+)", body))
    return ScriptPart(
        source,
        hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest(),
        {role: name for role, name in _OF_THE_SERVICE.items() if role in roles},
        {role: name for role, name in _OF_A_SESSION.items() if role in roles},
    )
