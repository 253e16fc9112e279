"""Webhooks by the API: a company's own receiver; what waits and what is dead; sending anew, and a test."""

import secrets

from pydantic import ValidationError
from redis.asyncio import Redis
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.api.models import DeliveryPage, DeliveryView, NewReceiver, NewTest, ReceiverView, TestView
from app.http import problems
from app.http.body import read_body
from app.http.border import Border
from app.http.operations import (
    COMPANIES,
    COMPANY_ID,
    EVENT_ID,
    IDEMPOTENCY_KEY,
    OPS,
    Answer,
    Operation,
    Query,
    company_in,
)
from app.http.problems import Problem
from shared.core.events import Event
from shared.core.ids import company_id
from shared.core.signing import key_of, new_secret
from shared.settings import Settings
from shared.state.deliveries import Deliveries, Delivery, Standing
from shared.state.events import News
from shared.state.once import KeyOfAnother, Once
from shared.state.receivers import Receivers, check_target

STANDING = Query("state", "Those that wait, or those that are dead.", {"type": "string", "enum": list(Standing)})


class WebhookRoutes:
    """Handlers below `/api/v1/webhooks`, and of `/api/v1/companies/{id}/webhook`."""

    def __init__(self, settings: Settings, redis: Redis, border: Border, news: News) -> None:
        self._settings = settings
        self._border = border
        self._receivers = Receivers(settings, redis)
        self._deliveries = Deliveries(redis, news)
        self._once = Once(redis)

    def routes(self) -> list[Route]:
        """The routes, for the application."""
        return [self._border.route(one, self) for one in OPERATIONS]

    async def put_receiver(self, request: Request) -> Response:
        """Give the company a receiver of its own."""
        company, asked = company_in(request), await read_body(request, NewReceiver)
        try:
            check_target(str(asked.url), self._settings.webhook_networks)
        except ValueError as error:
            raise Problem(problems.NOT_UNDERSTOOD, f"url: {error}", field="url") from None
        secret = asked.secret or new_secret()
        try:
            key_of(secret)
        except ValueError as error:
            raise Problem(problems.NOT_UNDERSTOOD, f"secret: {error}", field="secret") from None
        events = frozenset(asked.events) if asked.events is not None else None
        made = await self._receivers.put(company, str(asked.url), secret, events)
        view = ReceiverView(url=made.url, events=sorted(made.events), secret=secret)
        return JSONResponse(view.model_dump(mode="json", by_alias=True))

    async def receiver(self, request: Request) -> Response:
        """The company's own receiver, without its secret."""
        made = await self._receivers.own(company_in(request))
        if made is None:
            raise Problem(problems.NO_RECEIVER)
        view = ReceiverView(url=made.url, events=sorted(made.events))
        return JSONResponse(view.model_dump(mode="json", by_alias=True, exclude_none=True))

    async def forget_receiver(self, request: Request) -> Response:
        """Take the company's own receiver back. Idempotent."""
        await self._receivers.forget(company_in(request))
        return Response(status_code=204)

    async def deliveries(self, request: Request) -> Response:
        """Events that wait, or that are dead: the first hundred."""
        standing = Standing(STANDING.text_of(request) or Standing.WAITING)
        found = [_view(one) for one in await self._deliveries.list(standing)]
        page = DeliveryPage(deliveries=[one for one in found if one is not None])
        return JSONResponse(page.model_dump(mode="json", by_alias=True, exclude_none=True))

    async def delivery(self, request: Request) -> Response:
        """One event that waits or is dead."""
        found = await self._deliveries.show(_event_id(request))
        view = _view(found) if found else None
        if view is None:
            raise Problem(problems.NO_EVENT)
        return JSONResponse(view.model_dump(mode="json", by_alias=True, exclude_none=True))

    async def resend(self, request: Request) -> Response:
        """Have an event tried at once, and for another day."""
        if not await self._deliveries.resend(_event_id(request)):
            raise Problem(problems.NO_EVENT)
        return Response(status_code=202)

    async def test_receiver(self, request: Request) -> Response:
        """Send a test to the receiver of a company."""
        asked = await read_body(request, NewTest)
        company, key = company_id(asked.company_id), IDEMPOTENCY_KEY.of(request)
        if await self._receivers.of(company) is None:
            raise Problem(problems.NO_RECEIVER)
        fresh = made = secrets.token_hex(12)
        if key is not None:
            try:
                whose = f"{request.state.key.name}:tests"
                known = await self._once.first(whose, key, asked.model_dump_json().encode(), {"id": fresh})
            except KeyOfAnother:
                raise Problem(problems.KEY_REUSED) from None
            made = known["id"]
        if made == fresh:
            await self._deliveries.test(company, fresh)
        return JSONResponse(TestView(id=made).model_dump(by_alias=True), 202)


def _event_id(request: Request) -> str:
    event_id: str = request.path_params["id"]
    if not EVENT_ID.fits(event_id):
        raise Problem(problems.NO_EVENT)
    return event_id


def _view(one: Delivery) -> DeliveryView | None:
    try:
        return DeliveryView(
            state=one.standing,
            next_at=one.next_at if one.standing is Standing.WAITING else None,
            died_at=one.next_at if one.standing is Standing.DEAD else None,
            tries=one.tries,
            fault=one.fault or None,
            event=Event.model_validate_json(one.body, extra="ignore"),
        )
    except ValidationError:  # written by somebody else
        return None


OPERATIONS: tuple[Operation[WebhookRoutes], ...] = (
    Operation(
        "PUT",
        "/api/v1/companies/{id}/webhook",
        WebhookRoutes.put_receiver,
        "Have a company's events go to a URL of its own, under a secret of its own. Idempotent.",
        (Answer(200, "The receiver, with its secret.", ReceiverView),),
        (problems.NO_COMPANY, problems.TOO_LARGE, problems.NOT_UNDERSTOOD, problems.AWAY),
        id=COMPANY_ID,
        body=NewReceiver,
        scopes=COMPANIES,
    ),
    Operation(
        "GET",
        "/api/v1/companies/{id}/webhook",
        WebhookRoutes.receiver,
        "Show a company's own receiver.",
        (Answer(200, "The receiver, without its secret.", ReceiverView),),
        (problems.NO_COMPANY, problems.NO_RECEIVER, problems.AWAY),
        id=COMPANY_ID,
        scopes=COMPANIES,
    ),
    Operation(
        "DELETE",
        "/api/v1/companies/{id}/webhook",
        WebhookRoutes.forget_receiver,
        "Have a company's events go to the service's receiver again. Idempotent.",
        (Answer(204, "It has none of its own any more."),),
        (problems.NO_COMPANY, problems.AWAY),
        id=COMPANY_ID,
        scopes=COMPANIES,
    ),
    Operation(
        "GET",
        "/api/v1/webhooks",
        WebhookRoutes.deliveries,
        "List the events that no receiver has taken yet: a hundred at most.",
        (Answer(200, "The next, or the longest dead, first.", DeliveryPage),),
        (problems.NOT_UNDERSTOOD, problems.AWAY),
        query=(STANDING,),
        scopes=OPS,
    ),
    Operation(
        "GET",
        "/api/v1/webhooks/{id}",
        WebhookRoutes.delivery,
        "Show an event that waits or is dead.",
        (Answer(200, "The event, and how its delivery goes.", DeliveryView),),
        (problems.NO_EVENT, problems.AWAY),
        id=EVENT_ID,
        scopes=OPS,
    ),
    Operation(
        "POST",
        "/api/v1/webhooks/{id}/resend",
        WebhookRoutes.resend,
        "Have an event sent at once, and for another day: one that waits, that is dead, or of the newest 10,000. Idempotent.",
        (Answer(202, "It is on its way."),),
        (problems.NO_EVENT, problems.AWAY),
        id=EVENT_ID,
        scopes=OPS,
    ),
    Operation(
        "POST",
        "/api/v1/webhooks/test",
        WebhookRoutes.test_receiver,
        "Send a `webhook.test` to the receiver of a company.",
        (Answer(202, "It is on its way.", TestView),),
        (problems.TOO_LARGE, problems.NOT_UNDERSTOOD, problems.NO_RECEIVER, problems.KEY_REUSED, problems.AWAY),
        body=NewTest,
        headers=(IDEMPOTENCY_KEY,),
        scopes=OPS,
    ),
)
