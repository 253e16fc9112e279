"""The integrator's REST API: messages and contacts of a company. Errors are RFC 9457 problem JSON."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.api.models import ContactView, MessageStatus, MessageView, NewMessage
from app.api.texts import Texts
from app.http import problems
from app.http.body import read_body
from app.http.border import Border
from app.http.operations import (
    COMPANY_ID,
    IDEMPOTENCY_KEY,
    MESSAGE_ID,
    MESSAGES,
    NUMBER,
    Answer,
    Operation,
    company_in,
)
from app.http.problems import Problem
from shared.core.ids import session_of


class Api:
    """The routes, over one Redis."""

    def __init__(self, border: Border, texts: Texts) -> None:
        self._border = border
        self._texts = texts

    def routes(self) -> list[Route]:
        """Everything below `/api/v1` that is about messages."""
        return [self._border.route(one, self) for one in OPERATIONS]

    async def send(self, request: Request) -> Response:
        """Send a text through the company's WhatsApp."""
        session = session_of(company_in(request))
        asked = await read_body(request, NewMessage)
        message = await self._texts.send(session, asked.to, asked.text, IDEMPOTENCY_KEY.of(request))
        return JSONResponse(MessageView(id=message).model_dump(by_alias=True), 202)

    async def message(self, request: Request) -> Response:
        """Report the state of a text."""
        session, message = session_of(company_in(request)), request.path_params["message"]
        if not MESSAGE_ID.fits(message):
            raise Problem(problems.NO_MESSAGE)
        status = await self._texts.status(session, message)
        return JSONResponse(status.model_dump(mode="json", by_alias=True, exclude_none=True))

    async def contact(self, request: Request) -> Response:
        """Ask WhatsApp about a number."""
        view = await self._texts.contact(session_of(company_in(request)), request.path_params["number"])
        return JSONResponse(view.model_dump(mode="json", by_alias=True, exclude_none=True))


_BODY = (problems.TOO_LARGE, problems.NOT_UNDERSTOOD)

OPERATIONS: tuple[Operation[Api], ...] = (
    Operation(
        "POST",
        "/api/v1/companies/{id}/messages",
        Api.send,
        "Send a text through the company's WhatsApp. Texts of a company leave in the order of their answers.",
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
    Operation(
        "GET",
        "/api/v1/companies/{id}/messages/{message}",
        Api.message,
        "Tell what has become of a message, for 7 days.",
        (Answer(200, "Where it stands.", MessageStatus),),
        (problems.NO_COMPANY, problems.NO_MESSAGE, problems.AWAY),
        id=COMPANY_ID,
        item=("message", MESSAGE_ID),
        scopes=MESSAGES,
    ),
    Operation(
        "GET",
        "/api/v1/companies/{id}/contacts/{number}",
        Api.contact,
        "Ask WhatsApp whether a number is there, and under which name. An answer is kept for a day.",
        (Answer(200, "WhatsApp's answer.", ContactView),),
        (problems.NO_COMPANY, problems.NOT_A_PHONE, problems.NOT_LINKED, problems.NO_ANSWER, problems.AWAY),
        id=COMPANY_ID,
        item=("number", NUMBER),
        scopes=MESSAGES,
    ),
)
"""Everything about messages, as it is routed and as it is described."""
