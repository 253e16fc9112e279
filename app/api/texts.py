"""Texts that companies send: accepted, reported on, and their receivers looked up at WhatsApp."""

import re

from arq.connections import ArqRedis
from pydantic import ValidationError
from starlette.requests import Request

from app.api.companies import tell_holder
from app.api.models import ContactView, MessageStatus, MessageView, NewMessage
from app.http import problems
from app.http.operations import IDEMPOTENCY_KEY, MESSAGES, Answer, operation, session_in
from app.http.problems import Problem
from shared.core import phone
from shared.core.failures import Refused
from shared.core.ids import SessionId
from shared.core.lifecycle import DEVICE
from shared.core.messages import advice
from shared.settings import Settings
from shared.state.contacts import Contact, Contacts
from shared.state.outbox import KeyReused, Message, NotLinked, Outbox, OutboxFull
from shared.state.snapshots import Snapshots
from shared.tasks import found

RECEIVER = re.compile(r"\d{5,20}@s\.whatsapp\.net|\d{5,20}@lid|\d{5,25}(?:-\d{5,15})?@g\.us", re.ASCII)
ANSWER_SECONDS = 10.0
LOOK_AGAIN_SECONDS = 0.05


class Texts:
    def __init__(self, settings: Settings, redis: ArqRedis, snapshots: Snapshots, outbox: Outbox) -> None:
        self._region = settings.default_region
        self._redis = redis
        self._snapshots = snapshots
        self._outbox = outbox
        self._contacts = Contacts(redis, settings.secret_key)

    def _receiver(self, text: str, field: str) -> str:
        """A receiver as the outbox takes it: an E.164 number, or a JID. Raises `Problem`."""
        text = text.strip()
        if RECEIVER.fullmatch(text):
            return text
        try:
            return phone.recipient(text, self._region)
        except Refused as refused:
            raise Problem(problems.NOT_A_PHONE, code=refused.code, field=field) from None

    @operation(
        "POST",
        "/api/v1/companies/{id}/messages",
        Answer(202, "It is on its way.", MessageView),
        own=(problems.NOT_A_PHONE, problems.NOT_LINKED, problems.OUTBOX_FULL),
        takes=(IDEMPOTENCY_KEY,),
        scopes=MESSAGES,
    )
    async def send(self, request: Request, asked: NewMessage) -> MessageView:
        """Send a text through the company's WhatsApp. Texts of a company leave in the order of their answers."""
        key, message = IDEMPOTENCY_KEY.text_of(request), Message(self._receiver(asked.to, "to"), asked.text)
        try:
            return MessageView(id=await self._outbox.accept(session_in(request), message, key, only_linked=True))
        except NotLinked:
            raise Problem(problems.NOT_LINKED) from None
        except KeyReused:
            raise Problem(problems.KEY_REUSED) from None
        except OutboxFull as full:
            raise Problem(problems.OUTBOX_FULL, retry_after=full.seconds) from None

    @operation(
        "GET",
        "/api/v1/companies/{id}/messages/{message}",
        Answer(200, "Where it stands.", MessageStatus),
        scopes=MESSAGES,
    )
    async def message(self, request: Request) -> MessageStatus:
        """Tell what has become of a message, for 7 days."""
        message = request.path_params["message"]
        found = await self._outbox.look(session_in(request), message)
        if not found:
            raise Problem(problems.NO_MESSAGE)
        try:
            status = MessageStatus.model_validate(found | {"id": message, "advice": None}, extra="ignore")
        except ValidationError:  # written by somebody else
            raise Problem(problems.NO_MESSAGE) from None
        return status.model_copy(update={"advice": advice(status.status) if status.status else None})

    @operation(
        "GET",
        "/api/v1/companies/{id}/contacts/{number}",
        Answer(200, "WhatsApp's answer.", ContactView),
        own=(problems.NOT_LINKED, problems.NO_ANSWER),
        scopes=MESSAGES,
    )
    async def contact(self, request: Request) -> ContactView:
        """Ask WhatsApp whether a number is there, and under which name. An answer is kept for a day."""
        session, to = session_in(request), self._receiver(request.path_params["number"], "number")
        if to.endswith(("@lid", "@g.us")):
            raise Problem(problems.NOT_A_PHONE, field="number")
        contact = (await self._contacts.known(session, [to])).get(to)
        if contact is None or contact.exists is None:
            if (await self._snapshots.read(session)).body.state not in DEVICE:
                raise Problem(problems.NOT_LINKED)
            contact = await self._ask(session, to)
        if contact is None or contact.exists is None:
            raise Problem(problems.NO_ANSWER)
        jid = f"{contact.account.lstrip('+')}@s.whatsapp.net" if contact.exists else None
        return ContactView(
            exists=contact.exists, jid=jid, lid=contact.lid or None, number=contact.account or to.partition("@")[0]
        )

    async def _ask(self, session: SessionId, to: str) -> Contact | None:
        ticket = await self._contacts.ask(session, to)
        await tell_holder(self._redis, "look", session, ticket, job_id=f"look:{ticket}")
        return await found(lambda: self._contacts.replied(session, ticket), ANSWER_SECONDS, LOOK_AGAIN_SECONDS)
