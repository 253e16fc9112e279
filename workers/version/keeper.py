"""Keeps this worker's client acceptable to WhatsApp: chooses the web version, and has fresh processes claim it.

Running processes keep the version with which they began, so sessions that are online stay so. A session or an attempt that
is refused as outdated reports it here, and learns whether another try would claim a newer version. One file, as every
decision needs both what is in use and what is known.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from shared.core import webversion
from shared.core.clock import now_ms
from shared.core.webversion import ClientHealth, VersionWish, version_text
from shared.log import log
from shared.state.webrevision import SharedRevision, WebRevisions
from shared.tasks import TROUBLE, happens
from shared.telemetry import sentry
from workers.engine.library import LibraryFile, VersionNotFound, copy_with, find_installed, newest_copy, read_library
from workers.engine.pool import LinkerPool
from workers.engine.processes import EngineFailed, Engines
from workers.version.source import NoRevision

LOOK_SECONDS = 20.0
"""Pause between two looks at what other workers have found."""
TRY_SECONDS = 600.0
"""Pause between two questions to WhatsApp, and between two tries of a refused session while nothing helps."""
JITTER = 0.1
DAY_SECONDS = 86_400.0
FIRST_HOUR = 3600.0
"""A worker asks for the day's revision only when it has lived for so long."""


async def read_installed() -> LibraryFile | None:
    """The installed library. None for one that hides its version: it is used as it is, and Sentry hears of it."""
    try:
        return await asyncio.to_thread(lambda: read_library(find_installed()))
    except (VersionNotFound, OSError) as error:
        sentry.report("web-version", error)
        return None


@dataclass(eq=False)
class WebVersion:
    """The web version of one worker. `folder` keeps the copies of the library; the `setting` holds while no switch says
    another."""

    engines: Engines
    linkers: LinkerPool
    revisions: WebRevisions
    fetch: Callable[[], Awaitable[SharedRevision]]
    folder: Path
    setting: VersionWish
    library: LibraryFile | None

    def __post_init__(self) -> None:
        self._wish, library = self.setting, self.library
        self.own = library.revision if library is not None else 0
        self._born = library.born if library is not None else None
        self.in_use = self.own
        self.source = "library"
        self._known = SharedRevision()
        self._refused = self._told = -1  # no revision
        self._lock = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._called = asyncio.Event()
        now = asyncio.get_running_loop().time()
        self._search_at = self._adopt_at = now
        self._daily_at = now + FIRST_HOUR
        self._retry_at = now + TRY_SECONDS
        self._on_newer: Callable[[], None] = lambda: None
        self._on_retry: Callable[[], None] = lambda: None

    def listen(self, on_newer: Callable[[], None], on_retry: Callable[[], None]) -> None:
        """`on_newer`: fresh processes claim a newer version from now on. `on_retry`: one refused session may try."""
        self._on_newer = on_newer
        self._on_retry = on_retry

    def obey(self, switch: VersionWish | None) -> None:
        """Take the switch's wish, or, if it is off, the setting's."""
        wish = self.setting if switch is None else switch
        if wish != self._wish:
            self._wish = wish
            self._adopt_at = 0
            self._called.set()

    @property
    def age_days(self) -> float:
        """The age of the version in use: known if WhatsApp named the version itself, else estimated."""
        if self._born is None:
            return 0.0
        if self.in_use == self._known.number and self._known.at:
            return max(0.0, (now_ms() - self._known.at) / (DAY_SECONDS * 1000))
        return webversion.age_days(self.in_use, self.own, self._born, now_ms())

    @property
    def health(self) -> ClientHealth:
        """The client's state, for operators."""
        if not self.own:
            return ClientHealth.UNKNOWN
        if self._refused >= self.in_use:
            return ClientHealth.REFUSED
        return ClientHealth.OLD if self.age_days > webversion.AGEING_DAYS else ClientHealth.OK

    @property
    def next_try(self) -> int:
        """The moment (ms since the epoch) at which something new is tried."""
        left = min(self._retry_at, self._search_at) - asyncio.get_running_loop().time()
        return now_ms() + round(max(LOOK_SECONDS, left) * 1000)

    async def refused(self, library: str | None) -> bool:
        """WhatsApp refuses a process with this library as outdated: look for a newer version. True if fresh processes
        claim one now, so that another try is worth its while."""
        revision = self._revision_of(library)
        if revision < self.in_use:
            return self._refused < self.in_use
        if revision > self._refused:
            self._refused = revision
            log.warning("web-version.refused", version=version_text(revision))
            await _to_others(self.revisions.refused(revision))
        # Shielded: an attempt that has no more time must not end the search for all others.
        await asyncio.shield(self._do(self._renew(revision)))
        if self.in_use > revision:
            return True
        await self._tell(revision)
        return False

    def accepted(self, library: str | None) -> None:
        """Note that WhatsApp takes a process with this library: it is not refused, or only for some accounts."""
        revision = self._revision_of(library)
        if revision == self._refused:
            self._refused = self._told = -1
            log.info("web-version.accepted", version=version_text(revision))
            self._do(_to_others(self.revisions.accepted(revision)))

    def _do(self, work: Coroutine[None, None, None]) -> "asyncio.Task[None]":
        """Begin work that nobody who waits for it may cancel."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def run(self) -> None:
        """Follow the switch, the other workers and time until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self.look()
            if loop.time() >= self._retry_at:
                self._retry_at = loop.time() + _pause(TRY_SECONDS)
                self._on_retry()
            await happens(self._called, LOOK_SECONDS)
            self._called.clear()

    async def look(self) -> None:
        """Take what others have found, and what the operator wishes. Raises nothing but cancellation."""
        try:
            await self._renew(self.in_use)
        except Exception as error:  # noqa: BLE001 - a bug here must not end the worker
            sentry.report("web-version", error)

    # --- finding ------------------------------------------------------------------------------------------------------

    async def _renew(self, refused: int) -> None:
        async with self._lock:
            if refused < self.in_use or not self.own:
                return
            await self._learn()
            await self._adopt()
            if self._is_search_due():
                await self._search()
                await self._adopt()

    async def _learn(self) -> None:
        """Take up what the other workers know; a Redis that is away takes nothing back."""
        try:
            shared = await self.revisions.read()
        except TROUBLE as error:
            log.debug("web-version.unread", error=type(error).__name__)
            return
        self._know(shared)
        if webversion.is_credible(shared.refused, self.own) or shared.refused == self.own:
            self._refused = max(self._refused, shared.refused)

    def _know(self, found: SharedRevision) -> None:
        if found.number >= self._known.number and webversion.is_credible(found.number, self.own):
            self._known = found

    def _is_search_due(self) -> bool:
        now = asyncio.get_running_loop().time()
        if now < self._search_at or self._wish.off:
            return False
        return webversion.is_search_due(self.own, self._library_age, self._wish, self._known.number, self._refused) or (
            now >= self._daily_at and now_ms() - self._known.at > DAY_SECONDS * 1000
        )

    @property
    def _library_age(self) -> float:
        return 0.0 if self._born is None else webversion.age_days(self.own, self.own, self._born, now_ms())

    async def _search(self) -> None:
        now = asyncio.get_running_loop().time()
        self._search_at = now + _pause(TRY_SECONDS)
        self._daily_at = now + _pause(DAY_SECONDS)
        try:
            found = await self.fetch()
        except NoRevision as error:
            log.warning("web-version.not-found", why=str(error))
            await self._fall_back()
            return
        log.info("web-version.found", version=version_text(found.number), source=found.source)
        if not webversion.is_credible(found.number, self.own):
            log.warning("web-version.no-help", version=version_text(found.number), own=version_text(self.own))
            return
        self._know(found)
        await _to_others(self.revisions.found(found.number, found.source))

    async def _fall_back(self) -> None:
        """If WhatsApp cannot be asked, use the last copy on disk."""
        assert self.library is not None, "looked at by _renew"  # noqa: S101
        kept = await asyncio.to_thread(newest_copy, self.library, self.folder)
        if kept > self._known.number:
            self._know(SharedRevision(kept, 0, "disk"))

    # --- using --------------------------------------------------------------------------------------------------------

    async def _adopt(self) -> None:
        now = asyncio.get_running_loop().time()
        wanted = webversion.choose(self.own, self._library_age, self._wish, self._known.number, self._refused)
        if self.library is None or (wanted == self.in_use and self._is_there()) or now < self._adopt_at:
            return
        copy = None
        if wanted != self.own:
            try:
                copy = str(await asyncio.to_thread(copy_with, self.library, wanted, self.folder))
                await self.engines.try_library(copy)
            except (VersionNotFound, OSError, EngineFailed) as error:
                self._adopt_at = now + TRY_SECONDS
                sentry.report("web-version", error)
                return
        newer = wanted > self.in_use
        self.engines.use(copy)
        self.in_use = wanted
        self.source = self._source_of(wanted)
        log.warning("web-version.in-use", version=version_text(wanted), source=self.source)
        await self.linkers.refresh()
        if newer:
            self._on_newer()

    def _is_there(self) -> bool:
        return self.engines.library is None or Path(self.engines.library).exists()

    def _source_of(self, revision: int) -> str:
        if revision == self.own:
            return "library"
        return "wish" if revision == self._wish.least else self._known.source

    def _revision_of(self, library: str | None) -> int:
        return self.own if library is None else int(Path(library).parent.name)

    async def _tell(self, revision: int) -> None:
        """Tell Sentry that nothing newer helps, so that an operator looks: once a day, by one worker."""
        if self._told == revision:
            return
        self._told, is_news = revision, True
        with suppress(*TROUBLE):
            is_news = await self.revisions.is_news(revision)
        log.error("web-version.no-way-out", version=version_text(revision), known=self._known.number or None)
        if is_news:
            sentry.client_refused(version_text(revision))


async def _to_others(said: Awaitable[None]) -> None:
    """Tell other workers. While Redis is away they find out by themselves."""
    with suppress(*TROUBLE):
        await said


def _pause(seconds: float) -> float:
    return seconds * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - spreading, not secrecy
