"""Webhooks by the API: a company's own receiver; what waits and what is dead; sending anew, and a test."""

import secrets

from pydantic import ValidationError
from redis.asyncio import Redis
from starlette.requests import Request

from app.api.models import DeliveryPage, DeliveryView, NewReceiver, NewTest, ReceiverView, TestView
from app.api.repeats import Repeats
from app.http import problems
from app.http.operations import COMPANIES, IDEMPOTENCY_KEY, OPS, Answer, Parameter, company_in, operation
from app.http.problems import Problem
from shared.core.events import Event
from shared.core.ids import company_id
from shared.core.signing import key_of, new_secret
from shared.settings import Settings
from shared.state.deliveries import Deliveries, Delivery, Standing
from shared.state.events import News
from shared.state.receivers import Receivers, check_target

STANDING = Parameter(
    "query", "state", "Those that wait, or those that are dead.", {"type": "string", "enum": list(Standing)}
)


class WebhookRoutes:
    def __init__(self, settings: Settings, redis: Redis, news: News) -> None:
        self._settings = settings
        self._receivers = Receivers(settings, redis)
        self._deliveries = Deliveries(redis, news)
        self._repeats = Repeats(redis, "tests")

    @operation(
        "PUT",
        "/api/v1/companies/{id}/webhook",
        Answer(200, "The receiver, with its secret.", ReceiverView),
        scopes=COMPANIES,
    )
    async def put_receiver(self, request: Request, asked: NewReceiver) -> ReceiverView:
        """Have a company's events go to a URL of its own, under a secret of its own. Idempotent."""
        secret, field = asked.secret or new_secret(), "url"
        try:
            check_target(str(asked.url), self._settings.webhook_networks)
            field = "secret"
            key_of(secret)
        except ValueError as error:
            raise problems.unfit(field, str(error)) from None
        events = frozenset(asked.events) if asked.events is not None else None
        made = await self._receivers.put(company_in(request), str(asked.url), secret, events)
        return ReceiverView(url=made.url, events=sorted(made.events), secret=secret)

    @operation(
        "GET",
        "/api/v1/companies/{id}/webhook",
        Answer(200, "The receiver, without its secret.", ReceiverView),
        own=(problems.NO_RECEIVER,),
        scopes=COMPANIES,
    )
    async def receiver(self, request: Request) -> ReceiverView:
        """Show a company's own receiver."""
        made = await self._receivers.own(company_in(request))
        if made is None:
            raise Problem(problems.NO_RECEIVER)
        return ReceiverView(url=made.url, events=sorted(made.events))

    @operation(
        "DELETE", "/api/v1/companies/{id}/webhook", Answer(204, "It has none of its own any more."), scopes=COMPANIES
    )
    async def forget_receiver(self, request: Request) -> None:
        """Have a company's events go to the service's receiver again. Idempotent."""
        await self._receivers.forget(company_in(request))

    @operation(
        "GET",
        "/api/v1/webhooks",
        Answer(200, "The next, or the longest dead, first.", DeliveryPage),
        takes=(STANDING,),
        scopes=OPS,
    )
    async def deliveries(self, request: Request) -> DeliveryPage:
        """List the events that no receiver has taken yet: a hundred at most."""
        standing = Standing(STANDING.text_of(request) or Standing.WAITING)
        found = [_view(one) for one in await self._deliveries.list(standing)]
        return DeliveryPage(deliveries=[one for one in found if one is not None])

    @operation(
        "GET", "/api/v1/webhooks/{id}", Answer(200, "The event, and how its delivery goes.", DeliveryView), scopes=OPS
    )
    async def delivery(self, request: Request) -> DeliveryView:
        """Show an event that waits or is dead."""
        found = await self._deliveries.show(request.path_params["id"])
        view = _view(found) if found else None
        if view is None:
            raise Problem(problems.NO_EVENT)
        return view

    @operation("POST", "/api/v1/webhooks/{id}/resend", Answer(202, "It is on its way."), scopes=OPS)
    async def resend(self, request: Request) -> None:
        """Have an event sent at once, and for another day: one that waits, that is dead, or of the newest 10,000. Idempotent."""
        if not await self._deliveries.resend(request.path_params["id"]):
            raise Problem(problems.NO_EVENT)

    @operation(
        "POST",
        "/api/v1/webhooks/test",
        Answer(202, "It is on its way.", TestView),
        own=(problems.NO_RECEIVER,),
        takes=(IDEMPOTENCY_KEY,),
        scopes=OPS,
    )
    async def test_receiver(self, request: Request, asked: NewTest) -> TestView:
        """Send a `webhook.test` to the receiver of a company."""
        company = company_id(asked.company_id)
        if await self._receivers.of(company) is None:
            raise Problem(problems.NO_RECEIVER)
        fresh = {"id": secrets.token_hex(12)}
        made = await self._repeats.first(request, asked, fresh)
        if made == fresh:
            await self._deliveries.test(company, made["id"])
        return TestView(id=made["id"])


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
