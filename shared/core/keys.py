"""Every name in Redis. `docs/redis-keys.md` is printed from `KEYS`; nothing else spells a name.

No key carries a phone number, a code, a QR or a token. Every key has a TTL, but counters and switches.
"""

from dataclasses import dataclass

from shared.core.ids import SessionId, WorkerId

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
"""Much longer than a wait in the queue and an attempt after it, since the sweep finds by their claims what is past its
deadline, even after an hour without any worker. The ending frees the claim."""
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
"""Longer than a client repeats a command whose answer was lost (shared/state/pool.py)."""

WORKERS = "wa:workers"
CLAIMS = "wa:claims"
SWEEP = "wa:sweep"
SWEEP_AGAIN = "wa:sweep:again"
SWEPT = "wa:sweep:done"
SETTLING = "wa:settling"
STATS = "wa:stats"
SWITCH = "wa:switch"
SWITCH_SEEN = "wa:switch:seen"
"""The switches as the operators' timeline knows them: what differs has been thrown by hand and is written down."""
SWITCH_CHANNEL = "wa:switch"
"""Channel: look at the switches now."""
LINKS_CHANNEL = "wa:links"
"""Channel: the id of a link that was revoked just now."""
OPERATORS = "wa:operators"
FAILED_JOBS = "wa:failed-jobs"
PROBE = "wa:probe"
WEB_REVISION = "wa:web-revision"
WEBHOOKS = "wa:webhooks"
DEAD_WEBHOOKS = "wa:webhooks:dead"
FEED = "wa:feed"
OFFLINE = "wa:offline"
SESSIONS = "wa:sessions"
OUTBOXES = "wa:outboxes"
UNCONFIRMED = "wa:unconfirmed"
FORGETTING = "wa:forgetting"

QUEUE_LINKING = "arq:queue:linking"
QUEUE_SESSIONS = "arq:queue:sessions"
QUEUE_RESUME = "arq:queue:resume"


def snapshot(session: SessionId) -> str:
    """Hash: attempt, seq, body (JSON)."""
    return f"wa:snapshot:{session}"


def events(session: SessionId) -> str:
    """Channel of the session's announcements."""
    return f"wa:events:{session}"


def timeline(session: SessionId) -> str:
    """List of what happened, for people."""
    return f"wa:timeline:{session}"


def claim(session: SessionId) -> str:
    """String, SET NX PX: the number of the attempt that runs."""
    return f"wa:claim:{session}"


def starts(session: SessionId) -> str:
    """Counter, PX: attempts that were asked for lately."""
    return f"wa:starts:{session}"


def subject(session: SessionId) -> str:
    """Hash: the phone of the running attempt; the only place in Redis that holds one."""
    return f"wa:subject:{session}"


def text(session: SessionId, message_id: str) -> str:
    """Hash: a text on its way out and whom it is for."""
    return f"wa:subject:{session}:{message_id}"


def outbox(session: SessionId) -> str:
    """List: the ids of the texts that wait or are under way, in the order of their 202s."""
    return f"wa:outbox:{session}"


def message(session: SessionId, message_id: str) -> str:
    """Hash: where a text stands, without the text and whom it is for."""
    return f"wa:message:{session}:{message_id}"


def sent(session: SessionId, whatsapp_id: str) -> str:
    """String PX: our id of a text, by WhatsApp's."""
    return f"wa:sent:{session}:{whatsapp_id}"


def contact(digest: str) -> str:
    """String PX: whether a number is on WhatsApp, by keyed hash of session and number."""
    return f"wa:contact:{digest}"


def heard(session: SessionId, digest: str) -> str:
    """String PX: a message that has come in and was told."""
    return f"wa:heard:{session}:{digest}"


def inbox(session: SessionId) -> str:
    """List: the ids of the events of what has come in, the oldest first."""
    return f"wa:inbox:{session}"


def lost(session: SessionId) -> str:
    """Counter PX: what has come in and found no room."""
    return f"wa:lost:{session}"


def pace(session: SessionId) -> str:
    """String PX: the moment (ms) up to which the session's texts have used its rate."""
    return f"wa:pace:{session}"


def device_phone(session: SessionId) -> str:
    """String PX: the whole number of the linked device, for callers that may know it."""
    return f"wa:subject:{session}:device"


def once(session: SessionId, digest: str) -> str:
    """String PX: the message that was asked for under an Idempotency-Key, by the key's hash."""
    return f"wa:once:{session}:{digest}"


def lease(session: SessionId) -> str:
    """String `worker:token`: who owns the session."""
    return f"wa:lease:{session}"


def fence(session: SessionId) -> str:
    """Counter: the newest fencing token, which is the newest attempt's number."""
    return f"wa:fence:{session}"


def worker(worker_id: WorkerId) -> str:
    """Hash: what a living worker says of itself."""
    return f"wa:worker:{worker_id}"


def alive(worker_id: WorkerId) -> str:
    """String PX: a worker's heartbeat; while it is there, the worker's leases live."""
    return f"wa:alive:{worker_id}"


def held(worker_id: WorkerId) -> str:
    """Set: the sessions whose lease names this worker."""
    return f"wa:held:{worker_id}"


def taken(worker_id: WorkerId) -> str:
    """Counter, PX: how many sessions were taken from a worker by others."""
    return f"wa:taken:{worker_id}"


def said(mark: str) -> str:
    """String PX: what a script answered to one call."""
    return f"wa:said:{mark}"


def cooldown(digest: str) -> str:
    """String PX: a phone, company or address that must wait, or the session with a phone's living code, by keyed hash."""
    return f"wa:cooldown:{digest}"


def link(link_id: str) -> str:
    """String: a spent or revoked link."""
    return f"wa:link:{link_id}"


def made_link(link_id: str) -> str:
    """Hash: whose a link is, and until when."""
    return f"wa:made-link:{link_id}"


def asked(digest: str) -> str:
    """String PX: what came of a request, by the hash of its Idempotency-Key."""
    return f"wa:asked:{digest}"


def webhook(event_id: str) -> str:
    """Hash: an event on its way to the integrator."""
    return f"wa:webhook:{event_id}"


def web_revision_told(revision: int) -> str:
    """String, SET NX PX: somebody has been told that this revision is refused."""
    return f"wa:web-revision:{revision}"


def receiver(session: SessionId) -> str:
    """Hash: where the company's own webhooks go, and under which secret."""
    return f"wa:receiver:{session}"


def queue_worker(worker_id: WorkerId) -> str:
    """Commands for the sessions that this worker holds."""
    return f"arq:queue:worker:{worker_id}"


def wake(queue: str) -> str:
    """Channel that wakes the workers of a queue."""
    return f"{queue}:wake"


@dataclass(frozen=True, slots=True)
class KeyDoc:
    """One row of the table of names."""

    name: str
    type: str
    ttl: str
    purpose: str


KEYS: tuple[KeyDoc, ...] = (
    KeyDoc(
        "wa:snapshot:<session>",
        "hash",
        "30 days",
        "attempt, seq and body: the whole present state; `mark`: the last change's own; `link`: the last one that began an "
        "attempt; `offline`: there is no connection, `noted` or `told`",
    ),
    KeyDoc("wa:events:<session>", "channel", "", "announcements of new snapshots"),
    KeyDoc("wa:timeline:<session>", "list", "30 days, 200 entries", "what happened, for people: a JSON object each"),
    KeyDoc("wa:claim:<session>", "string, NX PX", "until the attempt ends", "dedupes requests: the running attempt"),
    KeyDoc("wa:claims", "zset", "7 days", "sessions whose attempt runs, by its deadline (ms)"),
    KeyDoc("wa:starts:<session>", "counter PX", "10 min", "attempts that were asked for: so many, and no more"),
    KeyDoc("wa:subject:<session>", "hash", "10 min", "whom the running attempt is about: the only phone in Redis"),
    KeyDoc(
        "wa:subject:<session>:<message>",
        "hash",
        "10 min",
        "a text on its way out and whom it is for; or, as `device`, the linked number",
    ),
    KeyDoc("wa:outbox:<session>", "list", "1 h", "ids of texts that wait or are under way, the oldest first"),
    KeyDoc("wa:outboxes", "zset", "1 h", "sessions with texts that wait, by the moment when a sweep looks (ms)"),
    KeyDoc("wa:unconfirmed", "zset", "8 days", "texts that no phone has confirmed, by when (ms) that is told"),
    KeyDoc("wa:message:<session>:<message>", "hash", "7 days", "where a text stands: state, times, reason"),
    KeyDoc("wa:sent:<session>:<id>", "string PX", "7 days", "our id of a text, for its receipts"),
    KeyDoc(
        "wa:inbox:<session>",
        "list",
        "25 h",
        "events of what has come in, the oldest first: each waits for the one before",
    ),
    KeyDoc(
        "wa:heard:<session>:<hash>",
        "string PX",
        "1 day",
        "a message that has come in and was told, so that it is told once",
    ),
    KeyDoc(
        "wa:lost:<session>", "counter PX", "25 h", "messages that have come in and found no room; the next event tells"
    ),
    KeyDoc("wa:contact:<hash>", "string PX", "1 day", "whether a number is on WhatsApp, by keyed hash; no phone in it"),
    KeyDoc("wa:pace:<session>", "string PX", "15 min", "up to when (ms) the session's texts have used MAX_RATE"),
    KeyDoc("wa:once:<session>:<hash>", "string PX", "1 day", "the message that was asked for under an Idempotency-Key"),
    KeyDoc("wa:lease:<session>", "string", "7 days", "owner of the session as `worker:token`"),
    KeyDoc(
        "wa:alive:<worker>",
        "string PX",
        "7 s",
        "a worker's heartbeat, by its number: without it its leases have lapsed",
    ),
    KeyDoc("wa:held:<worker>", "set", "7 days", "sessions whose lease names the worker: what is to be taken over"),
    KeyDoc("wa:taken:<worker>", "counter PX", "7 days", "sessions that others took from the worker"),
    KeyDoc("wa:fence:<session>", "counter", "none", "newest fencing token = newest attempt"),
    KeyDoc("wa:workers", "zset", "7 days", "workers by last heartbeat (ms)"),
    KeyDoc("wa:worker:<id>", "hash", "1 min", "a worker's version, capacity and load"),
    KeyDoc(
        "wa:cooldown:<hash>",
        "string PX",
        "the wait and 6 h; a code's life",
        "a phone, company or address that must wait, as `{refusals, until}`; or the session with a phone's living code",
    ),
    KeyDoc("wa:said:<mark>", "string PX", "2 min", "what a script answered: said again, it is done once"),
    KeyDoc("wa:sweep", "string PX", "1 min", "the worker that sweeps: one at a time for the fleet"),
    KeyDoc("wa:sweep:again", "string PX", "1 min", "a sweep was called for while one ran"),
    KeyDoc(
        "wa:settling", "string PX", "5 s", "Redis was away or went back: owners speak, and nobody is taken for dead"
    ),
    KeyDoc("wa:sweep:done", "string PX", "50 s", "a sweep has ended lately: none is due by time alone"),
    KeyDoc("wa:stats", "hash", "none", "counters behind /metrics"),
    KeyDoc("wa:switch", "hash", "none", "kill switches, effective at once; also the channel that says: look"),
    KeyDoc("wa:switch:seen", "hash", "none", "the switches as the operators' timeline knows them"),
    KeyDoc("wa:operators", "stream", "30 days, 200 entries", "what operators did: switches, drains, repairs"),
    KeyDoc("wa:failed-jobs", "stream", "30 days, 200 entries", "jobs that failed, and by what error"),
    KeyDoc("wa:probe", "string PX", "1 min", "/readyz writes it, to see that Redis takes writes"),
    KeyDoc("wa:web-revision", "hash", "180 days", "newest web revision found: number, time, source; newest refused"),
    KeyDoc("wa:web-revision:<revision>", "string, NX PX", "1 day", "Sentry has heard that this revision is refused"),
    KeyDoc("wa:link:<id>", "string", "spent: until it expires; revoked: 30 days", "spent or revoked links"),
    KeyDoc("wa:made-link:<id>", "hash", "until it expires, and 30 days", "whose a link is, and until when"),
    KeyDoc("wa:asked:<hash>", "string PX", "24 h", "what came of a request with an Idempotency-Key"),
    KeyDoc("wa:links", "channel", "", "the id of a link that was revoked just now: its sockets are closed"),
    KeyDoc(
        "wa:webhook:<id>",
        "hash",
        "25 h, or until it was taken; dead: 7 days",
        "an event for the integrator: type, body, tries",
    ),
    KeyDoc(
        "wa:webhooks", "zset", "25 h", "events that wait, by the moment of their next try (ms); also a channel: look"
    ),
    KeyDoc("wa:webhooks:dead", "zset", "7 days", "events that no receiver has taken for a day, by the moment (ms)"),
    KeyDoc(
        "wa:feed",
        "stream",
        "7 days, 10,000 entries",
        "the newest events, for `GET /api/v1/events`; also a channel: look",
    ),
    KeyDoc("wa:offline", "zset", "7 days", "sessions without connection, by the moment when that is told (ms)"),
    KeyDoc("wa:sessions", "zset", "30 days", "the names of all sessions, in order"),
    KeyDoc("wa:receiver:<session>", "hash", "none", "where a company's own webhooks go: url, secret, events"),
    KeyDoc(
        "wa:forgetting",
        "hash",
        "30 days",
        "sessions whose company is to be forgotten: when that was asked, and by whom",
    ),
    KeyDoc("arq:queue:linking", "zset", "arq's", "link jobs that wait: its size is the number of people waiting"),
    KeyDoc("arq:queue:sessions", "zset", "arq's", "sweep, webhooks, unlink: work that any worker can do"),
    KeyDoc("arq:queue:resume", "zset", "arq's", "sessions that nobody holds: looked at while a worker has room"),
    KeyDoc("arq:queue:worker:<id>", "zset", "arq's", "commands for sessions that this worker holds"),
)
