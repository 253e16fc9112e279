"""Attempts for back ends that draw their own page: begun, looked at, cancelled, without a link and a browser."""

from redis.asyncio import Redis
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.access import Access
from app.api.companies import Views
from app.api.models import AttemptView, NewAttempt
from app.http import problems
from app.http.body import read_body
from app.http.border import Border
from app.http.operations import COMPANY_ID, IDEMPOTENCY_KEY, LINKS, WAIT, Answer, Operation, company_in
from app.http.problems import Kind, Problem
from app.onboarding import Endings, Onboarding
from shared.core.clock import now_ms
from shared.core.failures import FailureCode, Refused
from shared.core.ids import session_of
from shared.core.lifecycle import DEVICE
from shared.core.protocol import Method
from shared.state.once import KeyOfAnother, Once

LIFE_SECONDS = 600
"""For the link behind such an attempt, which nobody sees; longer than an attempt with its wait in the queue."""

_KINDS: dict[FailureCode, Kind] = {
    FailureCode.INVALID_PHONE: problems.NOT_A_PHONE,
    FailureCode.COOL_DOWN: problems.COOLING_DOWN,
    FailureCode.PAUSED: problems.PAUSED,
}


class Attempts:
    """Handlers below `/api/v1/companies/{id}/attempts`."""

    def __init__(
        self, redis: Redis, border: Border, access: Access, views: Views, onboarding: Onboarding, endings: Endings
    ) -> None:
        self._border = border
        self._access = access
        self._views = views
        self._onboarding = onboarding
        self._endings = endings
        self._once = Once(redis)

    def routes(self) -> list[Route]:
        """The routes, for the application."""
        return [self._border.route(one, self) for one in OPERATIONS]

    async def start_attempt(self, request: Request) -> Response:
        """Start an attempt, or join the one that runs; with a phone, have a code made."""
        company = company_in(request)
        asked = await read_body(request, NewAttempt)
        if (asked.method is Method.CODE) != (asked.phone_number is not None):
            raise Problem(
                problems.NOT_UNDERSTOOD, "phoneNumber: goes with `code`, and with it alone", field="phoneNumber"
            )
        if not await self._comes_again(request, asked):
            await self._start(request, asked)
        stored, place, tag = await self._views.read(request, session_of(company))
        view = AttemptView.model_validate(stored.snapshot(queue_position=place).model_dump())
        return self._views.answer(request, tag, view.model_dump(mode="json", by_alias=True, exclude_none=True), 202)

    async def _comes_again(self, request: Request, asked: NewAttempt) -> bool:
        if (key := IDEMPOTENCY_KEY.of(request)) is None:
            return False
        whose, now = self._whose(request), now_ms()
        try:
            made = await self._once.first(whose, key, asked.model_dump_json().encode(), {"at": now})
        except KeyOfAnother:
            raise Problem(problems.KEY_REUSED) from None
        return bool(made["at"] != now)

    @staticmethod
    def _whose(request: Request) -> str:
        return f"{request.state.key.name}:attempts:{request.path_params['id']}"

    async def _start(self, request: Request, asked: NewAttempt) -> None:
        company = company_in(request)
        link = self._access.new_link(company, ttl_seconds=LIFE_SECONDS, company_name=company)
        try:
            if asked.phone_number is None:
                started = await self._onboarding.request_qr(link)
            else:
                # The integrator's server asks for everybody: it is limited by company, not by its address.
                started = await self._onboarding.request_code(link, asked.phone_number, f"api:{company}")
        except Refused as refused:
            await self._forget_key(request)
            raise _problem(refused) from None
        if not started and (await self._views.present(session_of(company))).body.state in DEVICE:
            await self._forget_key(request)
            raise Problem(problems.ALREADY_LINKED)

    async def _forget_key(self, request: Request) -> None:
        if (key := IDEMPOTENCY_KEY.of(request)) is not None:
            await self._once.forget(self._whose(request), key)

    async def attempt(self, request: Request) -> Response:
        """The newest attempt of a company, with its QR and its code."""
        stored, place, tag = await self._views.read(request, session_of(company_in(request)))
        view = AttemptView.model_validate(stored.snapshot(queue_position=place).model_dump())
        return self._views.answer(request, tag, view.model_dump(mode="json", by_alias=True, exclude_none=True))

    async def cancel_attempt(self, request: Request) -> Response:
        """End the attempt, as long as the phone has not agreed. Idempotent."""
        await self._endings.cancel(session_of(company_in(request)))
        return Response(status_code=202)


def _problem(refused: Refused) -> Problem:
    kind = _KINDS.get(refused.code, problems.REFUSED)
    wait = max(1, -(-(refused.retry_at - now_ms()) // 1000)) if refused.retry_at else None
    return Problem(kind, code=refused.code, field=refused.field, retry_after=wait)


OPERATIONS: tuple[Operation[Attempts], ...] = (
    Operation(
        "POST",
        "/api/v1/companies/{id}/attempts",
        Attempts.start_attempt,
        "Start an attempt to link, or join the one that runs, for a page of your own.",
        (Answer(202, "The attempt; look at it with `?wait=25` for its QR, its code and its end.", AttemptView),),
        (
            problems.NO_COMPANY,
            problems.TOO_LARGE,
            problems.NOT_UNDERSTOOD,
            problems.NOT_A_PHONE,
            problems.KEY_REUSED,
            problems.ALREADY_LINKED,
            problems.REFUSED,
            problems.COOLING_DOWN,
            problems.PAUSED,
            problems.AWAY,
        ),
        id=COMPANY_ID,
        body=NewAttempt,
        headers=(IDEMPOTENCY_KEY,),
        scopes=LINKS,
    ),
    Operation(
        "GET",
        "/api/v1/companies/{id}/attempts/current",
        Attempts.attempt,
        "Show the newest attempt of a company, with its QR and its code.",
        (Answer(200, "The attempt.", AttemptView), Answer(304, "Nothing is newer than `If-None-Match`.")),
        (problems.NO_COMPANY, problems.NOT_UNDERSTOOD, problems.AWAY),
        id=COMPANY_ID,
        query=(WAIT,),
        scopes=LINKS,
    ),
    Operation(
        "DELETE",
        "/api/v1/companies/{id}/attempts/current",
        Attempts.cancel_attempt,
        "End the attempt that runs, as long as the phone has not agreed. Idempotent.",
        (Answer(202, "It ends, if there is one; the webhook `onboarding.cancelled` says when."),),
        (problems.NO_COMPANY, problems.AWAY),
        id=COMPANY_ID,
        scopes=LINKS,
    ),
)
