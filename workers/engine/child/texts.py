"""The texts of one held session, on their way into the library: one at a time, in the order in which they came."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from workers.engine.child.happenings import ClientError
from workers.engine.protocol import Confirmed, Receipt, Send, SendFailed, Sent

if TYPE_CHECKING:
    from workers.engine.child.session import Session

ANSWER_LIMIT = 40.0
"""Longest wait for WhatsApp's answer to a text, in seconds. The library waits for 75 s at each of its steps, and sends no other text
of the session meanwhile: so the session is connected anew then. A text without an answer may still arrive."""

MOST_ANSWERS = 4
"""Texts whose answer is remembered, to be told again. The worker has two under way at most."""
MOST_RECEIPTS = 1000
"""Receipts that wait for a text."""
MOST_IDS = 200
"""Texts that were sent, of which it may yet be told that their receiver was left out."""


class TextTurns:
    """The texts of one session."""

    def __init__(self, session: "Session") -> None:
        self._session = session
        self._sent_ids: OrderedDict[str, None] = OrderedDict()
        self._left_out_ids: OrderedDict[str, None] = OrderedDict()  # told before the text was acknowledged
        self._receipts: list[Confirmed] = []  # until the text that is under way, which they may be of, has its id
        self._answers: deque[tuple[Send, Sent | SendFailed]] = deque(maxlen=MOST_ANSWERS)
        self._turn = asyncio.Lock()
        self._refused = -1  # the volley of the last text that could not leave, and all before it
        self._stopped = False

    async def send(self, send: Send) -> None:
        """Send a text when its turn comes, and tell the worker how it went. Asked twice, it is sent once."""
        async with self._turn:
            line = next((answer for asked, answer in self._answers if asked == send), None)
            if line is None:
                line = await self._sent(send)
                self._answers.append((send, line))
            await self._session.tell(line)
            if isinstance(line, Sent) and not send.to.endswith("@g.us"):
                await self._note(line.whatsapp_id, self._sent_ids, self._left_out_ids)
            while self._receipts:
                await self._session.tell(self._receipts.pop(0))

    async def confirmed(self, receipt: Receipt, ids: Sequence[str], at: int | None = None) -> None:
        """Tell the worker of receipts, after the texts that they may be of."""
        line = Confirmed(session=self._session.name, receipt=receipt, whatsapp_ids=list(ids), at=at)
        if not self._turn.locked():
            await self._session.tell(line)
        elif len(self._receipts) < MOST_RECEIPTS:
            self._receipts.append(line)

    async def left_out(self, whatsapp_id: str) -> None:
        """The library found no keys of the receiver's phone, and has sent the rest. Texts to groups are no matter of one."""
        await self._note(whatsapp_id, self._left_out_ids, self._sent_ids)

    async def _note(self, whatsapp_id: str, ours: "OrderedDict[str, None]", others: "OrderedDict[str, None]") -> None:
        if whatsapp_id not in others:
            ours[whatsapp_id] = None
            if len(ours) > MOST_IDS:
                ours.popitem(last=False)
        else:
            del others[whatsapp_id]
            await self.confirmed(Receipt.NO_KEYS, [whatsapp_id])

    async def stop(self, seconds: float) -> None:
        """Let no more texts leave, and wait so many seconds for the one that is under way."""
        self._stopped = True
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds), self._turn:
                pass

    def _obstacle(self, send: Send) -> str | None:
        if self._stopped:
            return "stopped"
        # Nobody knows how long a send during a cut takes.
        return "not connected" if not self._session.up or send.volley <= self._refused else None

    async def _sent(self, send: Send) -> Sent | SendFailed:
        if (reason := self._obstacle(send)) is None:
            sending = asyncio.create_task(self._session.client.send_text(send.to, send.text))
            await asyncio.wait({sending}, timeout=ANSWER_LIMIT)
            if sending.done():
                try:
                    whatsapp_id, at = sending.result()
                except ClientError as error:
                    return SendFailed(session=send.session, message=send.message, reason=str(error))
                return Sent(session=send.session, message=send.message, whatsapp_id=whatsapp_id, at=at)
            sending.add_done_callback(lambda task: task.cancelled() or task.exception())  # too late to be told
            self._session.restart()
            reason = f"no answer within {ANSWER_LIMIT:.0f} s"
        self._refused = max(self._refused, send.volley)
        return SendFailed(session=send.session, message=send.message, reason=reason)
