"""The integrator's REST API: links, the state of a company, log-out, messages. Errors are RFC 9457 problem JSON."""

from typing import TypeVar

import structlog
from arq.connections import ArqRedis
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.api.models import MessageView, NewMessage
from app.http import problems
from app.http.body import read_body
from app.http.border import Border
from app.http.operations import (
    COMPANY_ID,
    IDEMPOTENCY_KEY,
    MESSAGES,
    Answer,
    Operation,
    company_in,
)
from app.http.problems import Problem
from shared.core import keys, phone
from shared.core.failures import Refused
from shared.core.ids import SessionId, session_of
from shared.core.lifecycle import DEVICE
from shared.jobs.queue import enqueue
from shared.settings import Settings
from shared.state.lease import Leases
from shared.state.outbox import KeyReused, Message, Outbox, OutboxFull
from shared.state.snapshots import Snapshots

log = structlog.get_logger()

T = TypeVar("T", bound=BaseModel)


class Api:
    """The routes, over one Redis."""

    def __init__(
        self,
        settings: Settings,
        redis: ArqRedis,
        border: Border,
        snapshots: Snapshots,
        leases: Leases,
        outbox: Outbox,
    ) -> None:
        self._settings = settings
        self._border = border
        self._redis = redis
        self._snapshots = snapshots
        self._leases = leases
        self._outbox = outbox

    def routes(self) -> list[Route]:
        """Everything below `/api/v1`."""
        return [self._border.route(one, self) for one in OPERATIONS]

    async def send(self, request: Request) -> Response:
        """Send a text through the company's WhatsApp."""
        session = session_of(company_in(request))
        asked = await read_body(request, NewMessage)
        number = _number(asked.to, self._settings.default_region, "to")
        key = IDEMPOTENCY_KEY.of(request)
        if (await self._snapshots.read(session)).body.state not in DEVICE:
            raise Problem(problems.NOT_LINKED)
        owner = await self._leases.owner(session)  # nobody for the moment of a hand-over: the job follows its session
        queue = keys.queue_worker(owner) if owner else keys.QUEUE_SESSIONS
        message = await self._kept(session, Message(number, asked.text), key)
        # Also when it was asked for before: who asked may have died before this line. Nothing is sent twice.
        await enqueue(self._redis, queue, "send", session, message, job_id=f"send:{message}")
        return JSONResponse(MessageView(id=message).model_dump(by_alias=True), 202)

    async def _kept(self, session: SessionId, message: Message, key: str | None) -> str:
        try:
            return await self._outbox.accept(session, message, key)
        except KeyReused:
            raise Problem(problems.KEY_REUSED) from None
        except OutboxFull as full:
            raise Problem(problems.OUTBOX_FULL, retry_after=full.seconds) from None


_BODY = (problems.TOO_LARGE, problems.NOT_UNDERSTOOD)

OPERATIONS: tuple[Operation[Api], ...] = (
    Operation(
        "POST",
        "/api/v1/companies/{id}/messages",
        Api.send,
        "Send a text through the company's WhatsApp.",
        (Answer(202, "It is on its way.", MessageView),),
        (
            problems.NO_COMPANY,
            *_BODY,
            problems.NOT_A_PHONE,
            problems.KEY_REUSED,
            problems.NOT_LINKED,
            problems.OUTBOX_FULL,
            problems.AWAY,
        ),
        id=COMPANY_ID,
        body=NewMessage,
        headers=(IDEMPOTENCY_KEY,),
        scopes=MESSAGES,
    ),
)
"""Everything below `/api/v1` that is the integrator's, as it is routed and as it is described."""


def _number(text: str, region: str, field: str) -> str:
    try:
        return phone.recipient(text, region)
    except Refused as refused:
        raise Problem(problems.NOT_A_PHONE, code=refused.code, field=field) from None
