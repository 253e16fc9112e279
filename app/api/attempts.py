"""Attempts for back ends that draw their own page: start, look and cancel, without a link and a browser."""

from secrets import token_hex

from redis.asyncio import Redis
from starlette.requests import Request
from starlette.responses import Response

from app.access import Access
from app.api.companies import Views
from app.api.models import AttemptView, NewAttempt
from app.api.repeats import Repeats
from app.http import problems
from app.http.operations import IDEMPOTENCY_KEY, LINKS, WAIT, Answer, company_in, operation, session_in
from app.http.problems import Problem
from app.onboarding import Endings, Onboarding
from shared.core.failures import Refused
from shared.core.lifecycle import DEVICE
from shared.core.protocol import Method
from shared.state.snapshots import Snapshots

LIFE_SECONDS = 600
"""Lifetime of the link behind such an attempt, which nobody sees. Longer than an attempt with its wait in the queue."""


class Attempts:
    def __init__(self, redis: Redis, access: Access, views: Views, onboarding: Onboarding, endings: Endings) -> None:
        self._snapshots = Snapshots(redis)
        self._access = access
        self._views = views
        self._onboarding = onboarding
        self._endings = endings
        self._repeats = Repeats(redis, "attempts")

    @operation(
        "POST",
        "/api/v1/companies/{id}/attempts",
        Answer(202, "The attempt; look at it with `?wait=25` for its QR, its code and its end.", AttemptView),
        own=(
            problems.NOT_A_PHONE,
            problems.ALREADY_LINKED,
            problems.REFUSED,
            problems.COOLING_DOWN,
            problems.PAUSED,
            problems.NO_ROOM,
        ),
        takes=(IDEMPOTENCY_KEY,),
        scopes=LINKS,
    )
    async def start_attempt(self, request: Request, asked: NewAttempt) -> Response:
        """Start an attempt to link, or join the one that runs, for a page of your own."""
        if (asked.method is Method.CODE) != (asked.phone_number is not None):
            raise problems.unfit("phoneNumber", "goes with `code`, and with it alone")
        fresh = {"request": token_hex(8)}
        if await self._repeats.first(request, asked, fresh) == fresh:
            await self._start(request, asked)
        return await self._answer(request, 202)

    async def _answer(self, request: Request, status: int = 200) -> Response:
        stored, place, tag = await self._views.read(request, session_in(request))
        view = AttemptView.model_validate(stored.snapshot(queue_position=place).model_dump())
        return self._views.answer(request, tag, view, status)

    async def _start(self, request: Request, asked: NewAttempt) -> None:
        company = company_in(request)
        link = self._access.new_link(company, ttl_seconds=LIFE_SECONDS, company_name=company)
        try:
            if asked.phone_number is None:
                started = await self._onboarding.request_qr(link)
            else:
                # The integrator's server asks for all companies, so the limit is by company, not by address.
                started = await self._onboarding.request_code(link, asked.phone_number, f"api:{company}")
        except Refused:
            await self._repeats.forget(request)
            raise
        if not started and (await self._snapshots.read(session_in(request))).body.state in DEVICE:
            await self._repeats.forget(request)
            raise Problem(problems.ALREADY_LINKED)

    @operation(
        "GET",
        "/api/v1/companies/{id}/attempts/current",
        Answer(200, "The attempt.", AttemptView),
        Answer(304, "Nothing is newer than `If-None-Match`."),
        takes=(WAIT,),
        scopes=LINKS,
    )
    async def attempt(self, request: Request) -> Response:
        """Show the newest attempt of a company, with its QR and its code."""
        return await self._answer(request)

    @operation(
        "DELETE",
        "/api/v1/companies/{id}/attempts/current",
        Answer(202, "It ends, if there is one; the webhook `onboarding.cancelled` says when."),
        scopes=LINKS,
    )
    async def cancel_attempt(self, request: Request) -> None:
        """End the attempt that runs, as long as the phone has not agreed. Idempotent."""
        await self._endings.cancel(session_in(request))
