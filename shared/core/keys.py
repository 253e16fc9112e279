"""Every name in Redis, each said once. `docs/redis-keys.md` is printed from `KEYS`; nothing else spells a name.

No key carries a phone number, a code, a QR or a token. Every key has a TTL, but counters and switches.
"""

import re
from typing import Generic, ParamSpec

from shared.core.datum import Datum
from shared.core.ids import SessionId, WorkerId

P = ParamSpec("P")

SECOND = 1000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

SNAPSHOT_TTL = 30 * DAY
"""A snapshot of a session that nobody touches; the device store knows what is linked, so nothing is lost with it."""
TIMELINE_TTL = 30 * DAY
TIMELINE_LENGTH = 200
SUBJECT_TTL = 10 * MINUTE
CLAIM_TTL = 1 * HOUR
"""Much longer than an attempt with its wait in the queue: the sweep finds late ones by their claims, even after an hour
without any worker. The ending frees the claim."""
LEASE_KEY_TTL = 7 * DAY
"""Lifetime of an owner's *name*, which outlives the ownership: that ends with its worker's heartbeat, `wa:alive`."""
STARTS_TTL = 10 * MINUTE
"""The stretch of time within which a session's attempts are counted."""
WORKER_TTL = 1 * MINUTE
WEB_REVISION_TTL = 180 * DAY
"""Longer than WhatsApp takes any revision."""
WEBHOOK_TTL = 25 * HOUR
"""Longer than an event is tried."""
DEAD_TTL = 7 * DAY
"""Lifetime of an event that no receiver has taken."""
FEED_TTL = 7 * DAY
FEED_LENGTH = 10_000
OFFLINE_MS = 2 * MINUTE
"""A session without connection for so long is told to be offline."""
MESSAGE_TTL = 7 * DAY
"""Lifetime of a text's state at the API."""
OUTBOX_TTL = 1 * HOUR
"""Much longer than a text waits; the sweep ends those that nobody sends."""
ONCE_TTL = 1 * DAY
"""Lifetime of an Idempotency-Key."""

LINK_RECORD_TTL = 30 * DAY
"""Lifetime of a link's state after the link's end."""

SAID_TTL = 2 * MINUTE
"""Longer than a client repeats a command whose answer was lost (shared/state/connections.py)."""


class KeyDoc(Datum):
    """One row of the table of names."""

    name: str
    type: str
    ttl: str
    purpose: str


KEYS: list[KeyDoc] = []


class Key(Generic[P]):
    """A name with ids in it, as `wa:lease:<session>`. Called with the ids, it makes the name."""

    def __init__(self, name: str, kind: str, ttl: str, purpose: str) -> None:
        KEYS.append(KeyDoc(name, kind, ttl, purpose))
        self.ids = re.findall(r"<(\w+)>", name)
        self._form = re.sub(r"<\w+>", "{}", name)

    def __call__(self, *ids: P.args, **_: P.kwargs) -> str:
        return self._form.format(*ids)

    def begin(self, *ids: str) -> str:
        """The beginning of all names that have these ids first."""
        return self._form.format(*ids, *("" for _ in self.ids))


def _fixed(name: str, kind: str, ttl: str, purpose: str) -> str:
    """A name that is always the same."""
    KEYS.append(KeyDoc(name, kind, ttl, purpose))
    return name


OfSession, OfText, OfWorker = Key[[SessionId]], Key[[SessionId, str]], Key[[WorkerId]]

snapshot = OfSession(
    "wa:snapshot:<session>",
    "hash",
    "30 days",
    "attempt, seq and body: the whole present state; `mark`: the last change's own; `link`: the last one that began an attempt; `offline`: there is no connection, `noted` or `told`",
)
events = OfSession("wa:events:<session>", "channel", "", "announcements of new snapshots")
timeline = OfSession(
    "wa:timeline:<session>", "list", "30 days, 200 entries", "what happened, for people: a JSON object each"
)
claim = OfSession(
    "wa:claim:<session>", "string, NX PX", "until the attempt ends", "dedupes requests: the running attempt"
)
CLAIMS = _fixed("wa:claims", "zset", "7 days", "sessions whose attempt runs, by its deadline (ms)")
starts = OfSession("wa:starts:<session>", "counter PX", "10 min", "attempts that were asked for: so many, and no more")
subject = OfSession(
    "wa:subject:<session>", "hash", "10 min", "whom the running attempt is about: the only phone in Redis"
)
text = OfText(
    "wa:subject:<session>:<message>",
    "hash",
    "10 min",
    "a text on its way out and whom it is for; or, as `device`, the linked number",
)
outbox = OfSession("wa:outbox:<session>", "list", "1 h", "ids of texts that wait or are under way, the oldest first")
OUTBOXES = _fixed("wa:outboxes", "zset", "1 h", "sessions with texts that wait, by the moment when a sweep looks (ms)")
UNCONFIRMED = _fixed("wa:unconfirmed", "zset", "8 days", "texts that no phone has confirmed, by when (ms) that is told")
message = OfText("wa:message:<session>:<message>", "hash", "7 days", "where a text stands: state, times, reason")
sent = OfText("wa:sent:<session>:<id>", "string PX", "7 days", "our id of a text, for its receipts")
inbox = OfSession(
    "wa:inbox:<session>", "list", "25 h", "events of what has come in, the oldest first: each waits for the one before"
)
heard = Key[[str]]("wa:heard:<id>", "string PX", "1 day", "the event of a message that has come in: it is told once")
lost = OfSession(
    "wa:lost:<session>", "counter PX", "25 h", "messages that have come in and found no room; the next event tells"
)
contact = OfText(
    "wa:contact:<session>:<hash>",
    "string PX",
    "1 day",
    "whether a number is on WhatsApp, by keyed hash; no phone in it",
)
pace = OfSession("wa:pace:<session>", "string PX", "15 min", "up to when (ms) the session's texts have used MAX_RATE")
once = OfText(
    "wa:once:<session>:<hash>", "string PX", "1 day", "the message that was asked for under an Idempotency-Key"
)
lease = OfSession("wa:lease:<session>", "string", "7 days", "owner of the session as `worker:token`")
alive = OfWorker(
    "wa:alive:<worker>", "string PX", "7 s", "a worker's heartbeat, by its number: without it its leases have lapsed"
)
held = OfWorker("wa:held:<worker>", "set", "7 days", "sessions whose lease names the worker: what is to be taken over")
taken = OfWorker("wa:taken:<worker>", "counter PX", "7 days", "sessions that others took from the worker")
fence = OfSession("wa:fence:<session>", "counter", "none", "newest fencing token = newest attempt")
WORKERS = _fixed("wa:workers", "zset", "7 days", "workers by last heartbeat (ms)")
worker = OfWorker("wa:worker:<id>", "hash", "1 min", "a worker's version, capacity and load")
cooldown = Key[[str]](
    "wa:cooldown:<hash>",
    "string PX",
    "the wait and 6 h; a code's life",
    "a phone, company or address that must wait, as `{refusals, until}`; or the session with a phone's living code",
)
said = Key[[str]]("wa:said:<mark>", "string PX", "2 min", "what a script answered: said again, it is done once")
SWEEP = _fixed("wa:sweep", "string PX", "1 min", "the worker that sweeps: one at a time for the fleet")
SETTLING = _fixed(
    "wa:settling", "string PX", "5 s", "Redis was away or went back: owners speak, and nobody is taken for dead"
)
SWEPT = _fixed("wa:sweep:done", "string PX", "50 s", "a sweep has ended lately: none is due by time alone")
STATS = _fixed("wa:stats", "hash", "none", "counters behind /metrics")
SWITCH = _fixed("wa:switch", "hash", "none", "kill switches, effective at once; also the channel that says: look")
SWITCH_CHANNEL = SWITCH
"""Channel: look at the switches now."""
SWITCH_SEEN = _fixed("wa:switch:seen", "hash", "none", "the switches as the operators' timeline knows them")
OPERATORS = _fixed("wa:operators", "stream", "30 days, 200 entries", "what operators did: switches, drains, repairs")
FAILED_JOBS = _fixed("wa:failed-jobs", "stream", "30 days, 200 entries", "jobs that failed, and by what error")
PROBE = _fixed("wa:probe", "string PX", "1 min", "/readyz writes it, to see that Redis takes writes")
WEB_REVISION = _fixed(
    "wa:web-revision", "hash", "180 days", "newest web revision found: number, time, source; newest refused"
)
web_revision_told = Key[[int]](
    "wa:web-revision:<revision>", "string, NX PX", "1 day", "Sentry has heard that this revision is refused"
)
link = Key[[str]]("wa:link:<id>", "string", "spent: until it expires; revoked: 30 days", "spent or revoked links")
made_link = Key[[str]]("wa:made-link:<id>", "hash", "until it expires, and 30 days", "whose a link is, and until when")
asked = Key[[str]]("wa:asked:<hash>", "string PX", "24 h", "what came of a request with an Idempotency-Key")
LINKS_CHANNEL = _fixed("wa:links", "channel", "", "the id of a link that was revoked just now: its sockets are closed")
webhook = Key[[str]](
    "wa:webhook:<id>",
    "hash",
    "25 h, or until it was taken; dead: 7 days",
    "an event for the integrator: type, body, tries",
)
WEBHOOKS = _fixed(
    "wa:webhooks", "zset", "25 h", "events that wait, by the moment of their next try (ms); also a channel: look"
)
DEAD_WEBHOOKS = _fixed(
    "wa:webhooks:dead", "zset", "7 days", "events that no receiver has taken for a day, by the moment (ms)"
)
FEED = _fixed(
    "wa:feed", "stream", "7 days, 10,000 entries", "the newest events, for `GET /api/v1/events`; also a channel: look"
)
OFFLINE = _fixed("wa:offline", "zset", "7 days", "sessions without connection, by the moment when that is told (ms)")
SESSIONS = _fixed("wa:sessions", "zset", "30 days", "the names of all sessions, in order")
receiver = OfSession("wa:receiver:<session>", "hash", "none", "where a company's own webhooks go: url, secret, events")
FORGETTING = _fixed(
    "wa:forgetting", "hash", "30 days", "sessions whose company is to be forgotten: when that was asked, and by whom"
)
QUEUE_LINKING = _fixed(
    "arq:queue:linking", "zset", "arq's", "link jobs that wait: its size is the number of people waiting"
)
QUEUE_SESSIONS = _fixed("arq:queue:sessions", "zset", "arq's", "sweep, unlink: work that any worker can do")
QUEUE_RESUME = _fixed(
    "arq:queue:resume", "zset", "arq's", "sessions that nobody holds: looked at while a worker has room"
)
queue_worker = OfWorker("arq:queue:worker:<id>", "zset", "arq's", "commands for sessions that this worker holds")


def device_phone(session: SessionId) -> str:
    """String PX: the whole number of the linked device, for callers that may know it."""
    return text(session, "device")


def wake(queue: str) -> str:
    """Channel that wakes the workers of a queue."""
    return f"{queue}:wake"
