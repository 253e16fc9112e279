"""The companies: the state of each session, now or as soon as it changes, and its log-out."""

from collections.abc import Awaitable, Callable

from arq.connections import ArqRedis
from starlette.requests import Request
from starlette.responses import Response

from app.api.models import CompaniesPage, CompanyView
from app.http.operations import COMPANIES, LINKS, MESSAGES, WAIT, Answer, Parameter, operation, reply, session_in
from app.onboarding import Endings
from shared.core import keys
from shared.core.apikeys import Scope
from shared.core.ids import COMPANY_PATTERN, CompanyId, SessionId, WorkerId, company_of, session_of, sort_sessions
from shared.core.lifecycle import DEVICE, State
from shared.core.protocol import Wire
from shared.jobs.queue import enqueue
from shared.state.forgetting import Forgetting
from shared.state.lease import Leases
from shared.state.phones import Phones
from shared.state.snapshots import Snapshots, Stored

DEFAULT_LIMIT, MOST_LISTED = 50, 200
_MOST_LOOKS = 50
"""Batches of companies that one page looks at, at most. A page may then be short, and still has a next one."""

STATE = Parameter("query", "state", "Only companies in this state.", {"type": "string", "enum": list(State)})
CURSOR = Parameter("query", "cursor", "The `next` of the page before.", {"type": "string", "pattern": COMPANY_PATTERN})
LIMIT = Parameter(
    "query", "limit", "So many at most; else 50.", {"type": "integer", "minimum": 1, "maximum": MOST_LISTED}
)

Newer = Callable[[Stored, float], Awaitable[None]]
"""Waits for news of a session since this was told, for so many seconds at most."""


class Views:
    """A session's present state as the API shows it, with the version as its ETag."""

    def __init__(self, redis: ArqRedis, snapshots: Snapshots, newer: Newer) -> None:
        self._redis = redis
        self._snapshots = snapshots
        self._newer = newer

    async def read(self, request: Request, session: SessionId) -> tuple[Stored, int | None, str]:
        """The snapshot, its place in the queue, and its ETag; after the wait that the request asks for."""
        stored, place, tag = await self._read(session)
        seconds = WAIT.number_of(request)
        known = request.headers.get("if-none-match", tag)
        if seconds and tag in known:
            await self._newer(stored, seconds)
            stored, place, tag = await self._read(session)
        return stored, place, tag

    async def after(self, session: SessionId | None, most: int) -> tuple[list[Stored], bool]:
        """The newest snapshots of the next sessions by name, and True if there are more. Removes names without one."""
        start = f"({session}" if session else "-"
        names = await self._redis.zrangebylex(keys.SESSIONS, start, "+", start=0, num=most)
        ours, strange = sort_sessions(names)
        read = await self._snapshots.read_all(ours)
        gone: list[bytes | str] = [*strange, *(one.session for one in read if one.attempt == 0)]
        if gone:
            await self._redis.zrem(keys.SESSIONS, *gone)
        return await self._snapshots.told([one for one in read if one.attempt]), len(names) == most

    async def _read(self, session: SessionId) -> tuple[Stored, int | None, str]:
        (stored,) = await self._snapshots.told([await self._snapshots.read(session)])
        place = await self._snapshots.place(stored)
        waits = ".unheld" if stored.unheld else "" if place is None else f".{place}"
        return stored, place, f'W/"{stored.attempt}.{stored.seq}{waits}"'

    @staticmethod
    def answer(request: Request, tag: str, view: Wire, status: int = 200) -> Response:
        """The view with its ETag; 304 for a caller that knows it."""
        if status == 200 and tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers={"etag": tag})
        return reply(view, status, {"etag": tag})


class Companies:
    def __init__(self, redis: ArqRedis, views: Views, endings: Endings, forgetting: Forgetting) -> None:
        self._redis = redis
        self._endings = endings
        self._forgetting = forgetting
        self._views = views
        self._phones = Phones(redis)

    @operation(
        "GET",
        "/api/v1/companies",
        Answer(200, "A page of them.", CompaniesPage),
        takes=(STATE, CURSOR, LIMIT),
        scopes=COMPANIES,
    )
    async def companies(self, request: Request) -> CompaniesPage:
        """List the companies that the service has heard of in the last month, by name."""
        wanted, cursor = STATE.text_of(request), CURSOR.text_of(request)
        most, found = LIMIT.number_of(request) or DEFAULT_LIMIT, list[CompanyView]()
        after: SessionId | None = session_of(CompanyId(cursor)) if cursor else None
        more = True
        for _ in range(_MOST_LOOKS):
            stored, more = await self._views.after(after, most)
            for one in stored:
                after = one.session
                if wanted is None or one.body.state.value == wanted:
                    found.append(CompanyView.model_validate(one.snapshot().model_dump(exclude={"qr", "code"})))
                if len(found) == most:
                    more = more or one is not stored[-1]
                    break
            if not more or len(found) == most:
                break
        after = after if more else None
        return CompaniesPage(companies=found, next=company_of(after) if after else None)

    @operation(
        "GET",
        "/api/v1/companies/{id}",
        Answer(200, "The present state; `device.phone` in full for a key with the scope `companies`.", CompanyView),
        Answer(304, "Nothing is newer than `If-None-Match`."),
        takes=(WAIT,),
        scopes=LINKS | COMPANIES | MESSAGES,
    )
    async def company(self, request: Request) -> Response:
        """Tell where a company's session stands; `unlinked` for one that was never heard of."""
        session = session_in(request)
        stored, place, tag = await self._views.read(request, session)
        snapshot = stored.snapshot(queue_position=place)
        view = CompanyView.model_validate(snapshot.model_dump(exclude={"qr", "code"}))
        if view.device is not None and stored.body.state in DEVICE and Scope.COMPANIES in request.state.key.scopes:
            phone = await self._phone(session, view.device.linked_at)
            if phone is not None:
                view = view.model_copy(update={"device": view.device.model_copy(update={"phone": phone})})
        return self._views.answer(request, tag, view)

    async def _phone(self, session: SessionId, linked_at: int) -> str | None:
        """The device's whole number, which only workers know. None if no worker answers in time."""
        phone = await self._phones.read(session, linked_at)
        if phone is None:
            await tell_holder(self._redis, "phone", session)
            phone = await self._phones.wait(session, linked_at)
        return phone

    @operation(
        "DELETE",
        "/api/v1/companies/{id}/session",
        Answer(202, "It will be done; the webhook `session.unlinked` says when."),
        scopes=COMPANIES,
    )
    async def unlink(self, request: Request) -> None:
        """Log the company's device out at WhatsApp and forget it. Idempotent."""
        await tell_holder(self._redis, "unlink", session_in(request))

    @operation(
        "DELETE",
        "/api/v1/companies/{id}",
        Answer(202, "It will be done within seconds; while WhatsApp is away, within a day."),
        scopes=COMPANIES,
    )
    async def forget(self, request: Request) -> None:
        """Log the company's device out, revoke its links, and forget whatever is known of it: states, timeline, texts, events that were not delivered yet, its webhook. Idempotent."""
        by = f"api:{request.state.key.name}"
        await forget_company(self._redis, self._endings, self._forgetting, session_in(request), by)


async def tell_holder(redis: ArqRedis, job: str, session: SessionId, *ids: str, job_id: str = "") -> WorkerId | None:
    """Have the worker that owns the session do a job about it, or any worker if nobody owns it. Returns the owner."""
    owner = await Leases(redis).owner(session)
    queue = keys.queue_worker(owner) if owner else keys.QUEUE_SESSIONS  # for the moment of a hand-over nobody owns it
    await enqueue(redis, queue, job, session, *ids, job_id=job_id or f"{job}:{session}")
    return owner


async def forget_company(
    redis: ArqRedis, endings: Endings, forgetting: Forgetting, session: SessionId, by: str
) -> None:
    """Have a worker forget the session's company, and end its attempt if one runs."""
    await forgetting.wish(session, by)
    await endings.cancel(session)
    await enqueue(redis, keys.QUEUE_SESSIONS, "forget", session)
