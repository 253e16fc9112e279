"""Held sessions that WhatsApp refuses because of the version that our client claims.

They do not try again one by one: hundreds of refused logins from one address help nobody. When there is a newer version
to claim, one session, the probe, tries it. If it comes online, the others follow.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from shared.core.ids import SessionId
from shared.log import log
from shared.tasks import Spawn
from workers.holding.session import HeldSession
from workers.version.keeper import WebVersion

PROBE_SECONDS = 20.0
"""A probe without an answer for this time is none any more: it goes on trying, and another session becomes the probe."""


@dataclass(eq=False)
class Outdated:
    """The sessions of one worker that wait for a version that WhatsApp takes.

    `holds`: true while a session is still ours. `start`: has a session log in, in a fresh process.
    """

    versions: WebVersion
    holds: Callable[[HeldSession], bool]
    start: Callable[[HeldSession], Awaitable[None]]
    spawn: Spawn

    def __post_init__(self) -> None:
        self._waiting: dict[SessionId, HeldSession] = {}
        self._probe: HeldSession | None = None
        self._proven = 0  # the revision with which a probe came online

    def __len__(self) -> int:
        return len(self._waiting)

    async def refused(self, held: HeldSession, library: str | None) -> None:
        """Have a refused session wait here until there is something new to try."""
        self._waiting[held.session] = held
        if held is self._probe:
            self._probe = None
        if await self.versions.refused(library):
            self.try_again()
        else:
            self._proven = 0

    def online(self, held: HeldSession) -> None:
        """Have all others follow if the session that has come online is the probe."""
        self._waiting.pop(held.session, None)
        if held is self._probe:
            self._probe, self._proven = None, self.versions.in_use
            self.spawn(self._follow(), "outdated")

    def lost(self, held: HeldSession) -> None:
        """A session ended otherwise: if it was the one that tried, the next does."""
        self._waiting.pop(held.session, None)
        if held is self._probe:
            self._probe = None
            self.try_again()

    def try_again(self) -> None:
        """Something may have changed: let one session try, or all if one has come online with this version."""
        if self._proven == self.versions.in_use:
            self.spawn(self._follow(), "outdated")
            return
        if self._probe is not None and self.holds(self._probe):
            return
        probe = self._probe = self._next()
        if probe is not None:
            log.info("outdated.probing", session=probe.session, waiting=len(self._waiting))
            asyncio.get_running_loop().call_later(PROBE_SECONDS, self._give_up, probe)
            self.spawn(self.start(probe), "outdated")

    def _give_up(self, probe: HeldSession) -> None:
        """Make another session the probe, as this one has had no answer."""
        if probe is self._probe:
            self._probe = None
            self.try_again()

    async def _follow(self) -> None:
        """Have all that wait now log in. Stop when the version is found refused again; those refused meanwhile wait on."""
        for held in list(self._waiting.values()):
            if self._proven != self.versions.in_use:
                return
            if self._waiting.get(held.session) is held:
                del self._waiting[held.session]
                if self.holds(held):
                    await self.start(held)

    def _next(self) -> HeldSession | None:
        while self._waiting:
            held = self._waiting.pop(next(iter(self._waiting)))
            if self.holds(held):
                return held
        return None
