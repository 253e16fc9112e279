"""Tells the integrator's server what has become of sessions and messages.

Each event is a job in `arq:queue:sessions`; a try that fails puts the next one there, later and later, for a day. What
a dead worker or a lost job leaves behind is found by the sweep. Nothing here is waited for by linking: events are
kept by the script that saves the snapshot, and delivered by tasks of their own, some at a time.
"""

import asyncio
import random
import secrets
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Self

import structlog
from arq.connections import ArqRedis

from shared import VERSION
from shared.core import keys
from shared.core.clock import now_ms
from shared.core.ids import SessionId, company_of
from shared.core.lifecycle import State
from shared.core.messages import Fate
from shared.core.protocol import MessageType
from shared.jobs.queue import enqueue, soon_again
from shared.settings import Settings
from shared.state.events import Due, Event, EventShelf, EventType, Result, message_event, signature
from shared.state.snapshots import Change

log = structlog.get_logger()

TIMEOUT_SECONDS = 10.0
"""For a whole try: connecting, sending, and the status line of the answer."""
FIRST_PAUSE_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 3600.0
JITTER = 0.25
"""A pause is longer or shorter by up to this part of it, so that what failed together is not tried together."""
GIVE_UP_MS = 24 * keys.HOUR
AT_ONCE = 8
"""Tries of one worker at a time: a receiver that hangs holds up no more."""
MOST_UNDER_WAY = 500
"""So many events wait for their try in one worker; the others stay on the shelf, where the sweep finds them."""
REMINDED_AT_ONCE = 500

Spawn = Callable[[Awaitable[None], str], None]


def pause_seconds(tries: int, chance: float) -> float:
    """How long to wait after so many tries in vain: 5 s, 10 s, 20 s ... an hour. `chance`: 0 to 1."""
    pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(tries - 1, 30))
    return pause * (1 - JITTER + 2 * JITTER * chance)


def kind_of(change: Change) -> EventType | None:
    """What a saved change means to the integrator; None for what concerns only the page and the operators.

    A connection that is lost and comes back is no event. `session.dropped`: it will not come back by itself, and nobody
    of us has asked for that.
    """
    match change.body.state:
        case State.LINKED if change.ending:  # the end of an attempt
            return EventType.SESSION_LINKED
        case State.LINKED if change.event == "session.verified":
            return EventType.SESSION_VERIFIED
        case State.FAILED if change.type is MessageType.STATUS:  # of an attempt it would be `error`
            return EventType.SESSION_DROPPED
        case State.UNLINKED:
            return EventType.SESSION_UNLINKED
        case _:
            return None


class Webhooks:
    """Delivers the events of one Redis to one URL, from this worker."""

    def __init__(self, url: str, secret: str, redis: ArqRedis, spawn: Spawn, certificates: Path | None = None) -> None:
        self._url = url
        self._secret = secret
        self._redis = redis
        self._spawn = spawn
        self._shelf = EventShelf(redis)
        self._places = asyncio.Semaphore(AT_ONCE)
        self._under_way: set[str] = set()
        import httpx  # some 3 MB, which a worker without webhooks has no use for

        trusted = httpx.create_ssl_context(trust_env=False)
        if certificates is not None:
            trusted.load_verify_locations(certificates)
        self._http = httpx.AsyncClient(verify=trusted, trust_env=False, follow_redirects=False, timeout=TIMEOUT_SECONDS)

    @classmethod
    def wanted(cls, config: Settings, redis: ArqRedis, spawn: Spawn) -> Self | None:
        """None when the integrator wants none."""
        if config.webhook_url is None or config.webhook_secret is None:
            return None
        return cls(str(config.webhook_url), config.webhook_secret.get_secret_value(), redis, spawn, config.webhook_ca)

    # --- what has happened --------------------------------------------------------------------------------------------

    def of(self, session: SessionId, change: Change) -> Event | None:
        """The event to be kept with a change."""
        kind = kind_of(change)
        if kind is None:
            return None
        return Event(
            id=secrets.token_hex(12),
            type=kind,
            company_id=company_of(session),
            session_id=session,
            at=now_ms(),
            device=change.body.device,
            failure=change.body.failure,
        )

    def kept(self, event: Event) -> None:
        """It was saved together with its change: have it delivered."""
        self._spawn(self._call(event.id), "webhook")

    def text(self, session: SessionId, message_id: str, fate: Fate) -> Event | None:
        """The event to be kept with what has become of a message."""
        return message_event(session, message_id, fate)

    async def _call(self, event_id: str) -> None:
        await enqueue(self._redis, keys.QUEUE_SESSIONS, "webhook", event_id, job_id=f"webhook:{event_id}:0")

    # --- its delivery -------------------------------------------------------------------------------------------------

    async def deliver(self, event_id: str) -> None:
        """Try once, if it is due; a try in vain puts the next one into the queue, until the event is a day old."""
        if event_id in self._under_way or len(self._under_way) >= MOST_UNDER_WAY:
            return
        self._under_way.add(event_id)
        try:
            await self._try(event_id)
        finally:
            self._under_way.remove(event_id)

    async def _try(self, event_id: str) -> None:
        async with self._places:
            due = await self._shelf.take(event_id)
            if due is None:
                return
            fault = await self._post(due)
        if fault is None:
            await self._shelf.settle(due, Result.DELIVERED)
            log.info("webhook.delivered", event_id=due.id, type=due.type.value, tries=due.tries, ms=due.age)
            return
        pause = pause_seconds(due.tries, random.random())  # noqa: S311 - spreading, not secrecy
        if due.age + pause * 1000 > GIVE_UP_MS:
            await self._shelf.settle(due, Result.GIVEN_UP)
            log.error("webhook.given-up", event_id=due.id, type=due.type.value, tries=due.tries, fault=fault)
            return
        await self._shelf.settle(due, Result.RETRIED, pause_ms=round(pause * 1000))
        log.warning("webhook.refused", event_id=due.id, type=due.type.value, tries=due.tries, fault=fault)
        job_id = f"webhook:{due.id}:{due.tries}"
        await enqueue(self._redis, keys.QUEUE_SESSIONS, "webhook", due.id, job_id=job_id, after=pause)

    async def remind(self) -> None:
        """Put events that were forgotten into the queue again: their worker died, or Redis was away at the moment."""
        forgotten = await self._shelf.forgotten(REMINDED_AT_ONCE)
        for event_id in forgotten:
            job_id = soon_again(f"webhook:{event_id}")
            await enqueue(self._redis, keys.QUEUE_SESSIONS, "webhook", event_id, job_id=job_id)
        if forgotten:
            log.warning("webhooks.reminded", count=len(forgotten))

    async def _post(self, due: Due) -> str | None:
        """What went wrong, in a word; None when the server has taken the event. Redirects are not followed: the
        signed event is meant for this URL alone."""
        import httpx

        timestamp = now_ms()
        headers = {
            "content-type": "application/json",
            "user-agent": f"whatsapp-onboarding/{VERSION}",
            "x-webhook-id": due.id,
            "x-webhook-timestamp": str(timestamp),
            "x-webhook-signature": signature(self._secret, timestamp, due.body),
        }
        try:
            async with (
                asyncio.timeout(TIMEOUT_SECONDS),
                self._http.stream("POST", self._url, content=due.body, headers=headers) as answer,
            ):
                return None if answer.is_success else f"status {answer.status_code}"
        except (httpx.HTTPError, httpx.InvalidURL, OSError, TimeoutError) as error:
            return _word(error)

    async def close(self) -> None:
        """Close the connections to the receiver."""
        await self._http.aclose()


def _word(error: BaseException) -> str:
    """The kind of a fault; its text may hold the URL, and that a password."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError) or "CERTIFICATE_VERIFY_FAILED" in str(cause):
            return "certificate refused: see WEBHOOK_CA"
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__
