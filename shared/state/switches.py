"""Switches for operators: the hash `wa:switch`, obeyed by every process at once.

    pause            no onboarding begins; those that run go on, those in the queue end with `paused`
    qr-only          nobody gets a pairing code
    region:<CC>      no pairing codes for phones of this region, `region:KZ`
    web-version      2.3000.N or off, instead of WHATSAPP_WEB_VERSION
    log-level        debug, info, warning or error, instead of LOG_LEVEL
    drain:<worker>   this worker hands everything over and ends; its host starts a new one

A switch is on while its field exists: `redis-cli HSET wa:switch pause on` throws it, and `PUBLISH wa:switch pause` has
every process look at once, not within `LOOK_SECONDS`. The first process that looks writes the change into the operators'
timeline, so that a switch thrown by hand is on record as well, and once.
"""

import asyncio
import re
import time
from collections.abc import Callable

import phonenumbers
from redis.asyncio import Redis

from shared.core import clock, keys
from shared.core.datum import Datum
from shared.core.webversion import VersionWish, parse_wish
from shared.log import log
from shared.tasks import TROUBLE, happens
from shared.wa import wa

LOOK_SECONDS = 20.0
"""Between two looks of a process by itself: bounds the harm of a call that was lost."""
PAUSE, QR_ONLY, LOG_LEVEL, WEB_VERSION = "pause", "qr-only", "log-level", "web-version"
LEVELS = ("debug", "info", "warning", "error")
_DRAIN = re.compile(r"drain:[\w.-]{1,64}")

MEANING: dict[str, str] = {
    PAUSE: "no onboarding begins",
    QR_ONLY: "no pairing codes",
    "region:<CC>": "no pairing codes for phones of this region",
    WEB_VERSION: "2.3000.N or off instead of WHATSAPP_WEB_VERSION",
    LOG_LEVEL: f"{', '.join(LEVELS)} instead of LOG_LEVEL",
    "drain:<worker>": "this worker hands over and ends",
}


class UnknownSwitch(ValueError):
    """There is no such switch, or it does not take this value. The text is a sentence for a person."""


def checked(name: str, value: str = "on") -> tuple[str, str]:
    """The switch and its value as Redis keeps them. Raises `UnknownSwitch`."""
    kind, _, what = name.partition(":")
    if name == WEB_VERSION:
        try:
            parse_wish(value)
        except ValueError:
            raise UnknownSwitch(f"{name} is thrown to 2.3000.N or off, not to {value!r}") from None
        return name, value
    if name in {PAUSE, QR_ONLY} or _DRAIN.fullmatch(name):
        wanted: tuple[str, ...] = ("on",)
    elif kind == "region" and what.upper() in phonenumbers.SUPPORTED_REGIONS:
        name, wanted = f"region:{what.upper()}", ("on",)
    elif name == LOG_LEVEL:
        wanted = LEVELS
    else:
        raise UnknownSwitch(f"there is no switch {name!r}; there are {', '.join(MEANING)}")
    if value not in wanted:
        raise UnknownSwitch(f"{name} is thrown to {' or '.join(wanted)}, not to {value!r}")
    return name, value


class Board(Datum):
    """The switches as they were at the last look."""

    on: dict[str, str]

    @property
    def paused(self) -> bool:
        """True if no onboarding may begin."""
        return PAUSE in self.on

    def codes_blocked(self, region: str) -> bool:
        """True if no pairing code may be asked for a phone of this region."""
        return QR_ONLY in self.on or f"region:{region}" in self.on

    @property
    def log_level(self) -> str | None:
        """The level to log at instead of the configured one; None without the switch, or for a value that is no level."""
        level = self.on.get(LOG_LEVEL)
        return level if level in LEVELS else None

    @property
    def web_version(self) -> VersionWish | None:
        """The version to claim instead of the configured one; None without the switch, or for a value that is no version."""
        try:
            return parse_wish(self.on[WEB_VERSION]) if self.on.get(WEB_VERSION) else None
        except ValueError:
            return None

    def draining(self, worker: str) -> bool:
        """True if this worker must hand over and end."""
        return f"drain:{worker}" in self.on


class Switches:
    """A process' view of the switches, and the way to throw them."""

    def __init__(self, redis: Redis, on_change: Callable[[Board], None] = lambda _: None) -> None:
        self._redis = redis
        self._on_change = on_change
        self._look = asyncio.Event()
        self.board = Board({})

    async def look(self) -> Board:
        """Read the switches as they are now, and put on record what has changed since anybody last looked."""
        return await self._run("redis-cli", "")

    async def throw(self, name: str, value: str, *, by: str, why: str = "") -> Board:
        """Throw a switch on (to `value`) or off (''), on record, and have every process look. Raises `UnknownSwitch`
        for what is no switch, except to throw it off: what was thrown by hand can be taken back."""
        if value:
            name, value = checked(name, value)
        board = await self._run(by, why, name, value)
        await self._redis.publish(keys.SWITCH_CHANNEL, name)
        return board

    def call(self) -> None:
        """Look now: somebody has thrown a switch."""
        self._look.set()

    async def run(self) -> None:
        """Look whenever called, and now and then, until cancelled. A fault of Redis does not end it."""
        told = ""
        while True:
            self._look.clear()
            try:
                await self.look()
                word = clock.in_words(clock.skew_ms())
                if word not in {told, "ok"}:
                    log.warning("clock.off", by=word)
                told = word
            except TROUBLE as error:
                log.debug("switches.unread", error=type(error).__name__)
            await happens(self._look, LOOK_SECONDS)

    async def _run(self, by: str, why: str, name: str | None = None, value: str | None = None) -> Board:
        asked = time.monotonic_ns()
        said = await wa(self._redis, "throw", looks=name is None, by=by, why=why, name=name, value=value)
        if name is None:  # clocks drift apart
            clock.set_by(said["now"] * 1000, asked, time.monotonic_ns())
        board = Board(dict(said["on"]))
        if board != self.board:
            self.board = board
            self._on_change(board)
        return board
