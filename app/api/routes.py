"""The integrator's REST API: messages and contacts of a company. Errors are RFC 9457 problem JSON."""

from starlette.requests import Request

from app.api.models import ContactView, MessageStatus, MessageView, NewMessage
from app.api.texts import Texts
from app.http import problems
from app.http.body import read_body
from app.http.operations import IDEMPOTENCY_KEY, MESSAGES, Answer, operation, session_in


class Api:
    """The routes, over one Redis."""

    def __init__(self, texts: Texts) -> None:
        self._texts = texts

    @operation(
        "POST",
        "/api/v1/companies/{id}/messages",
        Answer(202, "It is on its way.", MessageView),
        own=(
            problems.NOT_A_PHONE,
            problems.NOT_LINKED,
            problems.OUTBOX_FULL,
        ),
        body=NewMessage,
        headers=(IDEMPOTENCY_KEY,),
        scopes=MESSAGES,
    )
    async def send(self, request: Request) -> MessageView:
        """Send a text through the company's WhatsApp. Texts of a company leave in the order of their answers."""
        asked, key = await read_body(request, NewMessage), IDEMPOTENCY_KEY.of(request)
        return MessageView(id=await self._texts.send(session_in(request), asked.to, asked.text, key))

    @operation(
        "GET",
        "/api/v1/companies/{id}/messages/{message}",
        Answer(200, "Where it stands.", MessageStatus),
        scopes=MESSAGES,
    )
    async def message(self, request: Request) -> MessageStatus:
        """Tell what has become of a message, for 7 days."""
        return await self._texts.status(session_in(request), request.path_params["message"])

    @operation(
        "GET",
        "/api/v1/companies/{id}/contacts/{number}",
        Answer(200, "WhatsApp's answer.", ContactView),
        own=(
            problems.NOT_LINKED,
            problems.NO_ANSWER,
        ),
        scopes=MESSAGES,
    )
    async def contact(self, request: Request) -> ContactView:
        """Ask WhatsApp whether a number is there, and under which name. An answer is kept for a day."""
        return await self._texts.contact(session_in(request), request.path_params["number"])
