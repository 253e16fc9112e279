"""The texts of one session on their way out, as the worker that holds the session sees them.

Each session with texts has one task. It reads them from the outbox, hands two to the holder (one is under way, one
follows it), and writes down how each has ended. A text is marked in Redis before it is handed over, so it is sent at
most once, whatever dies.

Each text costs one script: it writes the end of an earlier text and what receivers' phones have said, marks the next one,
and tells which texts are new. One file, as every step reads and changes the same lists: what waits, is in hand, has ended.
"""

import asyncio
import itertools
import random
import time
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass

from shared.core.datum import replace
from shared.core.ids import SessionId
from shared.core.messages import Fate, MessageState, NotDelivered, NotSent
from shared.log import log
from shared.state.contacts import Contact
from shared.state.outbox import (
    DOUBT_MS,
    LEARNT_AT_ONCE,
    MOST_WAITING,
    WAIT_MS,
    Begun,
    Entry,
    Message,
    Waiting,
    Written,
)
from shared.tasks import happens, outlived
from workers.engine import protocol as pipe
from workers.holding.holders import Holders
from workers.holding.people import People
from workers.holding.session import HeldSession, Links

IN_HAND = 2
"""Texts of a session that its holder has: one under way, and one so that the library need not wait for Redis."""
AHEAD = 50
"""Texts whose receivers are asked about before their turn comes."""
FIRST_WEIGHT = 2.0
"""A text to somebody whom the session does not know counts for so many: WhatsApp watches first contacts."""
WAIT_SECONDS = WAIT_MS / 1000
AGAIN_SECONDS = 1.0
"""Until Redis is asked again, while it is away."""
TRIES = 5
"""A text that the library could not send so many times, though the session was online, is given up."""
LAST_SECONDS = 1.5
"""A worker that stops waits so long for answers to what its holders have in hand."""

WRITTEN_AT_ONCE = 50
"""Entries that one script writes."""
REMEMBERED = 1000
"""Texts of a session of which the worker itself knows WhatsApp's id; Redis knows more."""
MOST_RECEIPTS = 2000
_OF_RECEIPT = {
    pipe.Receipt.DELIVERED: Fate(MessageState.DELIVERED),
    pipe.Receipt.READ: Fate(MessageState.READ),
    pipe.Receipt.NO_KEYS: Fate(MessageState.UNDELIVERED, NotDelivered.NO_KEYS),
}


@dataclass(slots=True)
class Text:
    """A text of the session. `place`: its number in the queue; `since`: when it was accepted, by the monotonic clock."""

    id: str
    message: Message
    place: int
    since: float
    tries: int = 0


class TextQueue:
    """The texts of one session that this worker knows of, the oldest first."""

    def __init__(self, session: SessionId, links: Links, holders: Holders) -> None:
        self.session = session
        self.held: HeldSession | None = None
        self._links = links
        self._holders = holders
        self._waiting: deque[Text] = deque()
        self._hand: deque[Text] = deque()
        self._ended: deque[Entry] = deque()  # to be written down
        self._told: OrderedDict[str, dict[MessageState, Entry]] = OrderedDict()  # as many as an outbox may bring back
        self._receipts: deque[pipe.Confirmed] = deque(maxlen=MOST_RECEIPTS)
        self._ids: OrderedDict[str, str] = OrderedDict()  # of texts that were sent: ours, by WhatsApp's
        self._places = itertools.count()
        self.people = People(session, links.contacts, holders)
        self._volley = 0
        self._stale = True  # the outbox may have more than we know of
        self._forgotten = False  # Redis has lost its memory
        self._online_at: float | None = None  # when the session was seen online last
        self._pause_until = 0.0
        self._news = asyncio.Event()
        self._quiet = asyncio.Event()  # an end was heard
        self._task: asyncio.Task[None] | None = None

    def wake(self, *, stale: bool = True) -> None:
        """Look again, as the texts, the connection or the owner have changed."""
        self._stale = self._stale or stale
        self._news.set()
        if self._task is None:
            self._links.spawn(self._run(), "send")

    def heard(self, message: str, fate: Fate | None) -> None:
        """Take the end of a text. None means that neither it nor those behind it have left."""
        text = next((one for one in self._hand if one.id == message), None)
        if text is None:
            return
        if fate is None:
            self._take_back(text)
        else:
            self._hand.remove(text)
            self._ended.append(Entry(text.id, Written.ENDED, fate))
            if fate.state is MessageState.SENT:
                self.people.met(text.message.to)
                self._ids[fate.whatsapp_id] = text.id
                if len(self._ids) > REMEMBERED:
                    self._ids.popitem(last=False)
        self._quiet.set()
        self.wake(stale=False)

    def confirmed(self, event: pipe.Confirmed) -> None:
        """Take receipts for texts; they are written down after the ends."""
        self._receipts.append(event)
        self.wake(stale=False)

    def cut(self) -> None:
        """Take back the texts of a dead holder. The first may have been sent; the one behind it was not."""
        if self._hand:
            self._ended.append(_failed(self._hand.popleft().id, NotSent.UNKNOWN))
        for text in list(self._hand):
            self._take_back(text)
        self.wake(stale=False)

    def _take_back(self, text: Text) -> None:
        self._hand.remove(text)
        self._volley += 1
        if self._online:  # the library itself had trouble
            text.tries += 1
            self._pause_until = time.monotonic() + AGAIN_SECONDS
        if text.tries >= TRIES:
            self._ended.append(_failed(text.id, NotSent.NOT_ONLINE))
            return
        self._ended.append(Entry(text.id, Written.REQUEUED))
        if self.held is not None:
            self._waiting.insert(sum(one.place < text.place for one in self._waiting), text)

    @property
    def _online(self) -> bool:
        return self.held is not None and self.held.online

    # --- the task -----------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        if self._task is not None:
            return
        self._task = asyncio.current_task()
        try:
            while True:
                self._news.clear()
                pause: float | None = AGAIN_SECONDS
                with outlived("texts.delayed", session=self.session):
                    pause = await self._step()
                if pause == 0:
                    continue
                if pause is None and not (self._news.is_set() or self._hand or self._ended or self._receipts):
                    return
                await happens(self._news, pause)
        finally:
            self._task = None

    async def _step(self) -> float | None:
        """Do what can be done now. Return the seconds until there is more to do; None: until something happens."""
        if self._forgotten and self.held is not None:
            await self._keep_again(self.held)
        pause, ripe = await self._ripe()
        if ripe is None and not (self._ended or self._receipts or (self._stale and self.held)):
            return pause
        return await self._turn(ripe)

    async def _ripe(self) -> tuple[float | None, tuple[Text, Contact] | None]:
        """Return the pause (s) until a text may leave, and the text that may leave now; None for what is not known here."""
        if not self._online and self._waiting:
            return self._wait_for_connection(), None
        now = time.monotonic()
        self._online_at = now if self._online else self._online_at
        if self.held is None or not self._waiting:
            return None, None
        await self.people.look([one.message.to for one in itertools.islice(self._waiting, AHEAD)])
        if not self._waiting or len(self._hand) >= IN_HAND:
            return None, None
        if (left := self._pause_until - now) > 0:
            return left, None
        text = self._waiting[0]
        contact = self.people.of(text.message.to)
        if contact is None:
            return self.people.patience, None
        if contact.exists is False:
            self._ended.append(_failed(self._waiting.popleft().id, NotSent.NOT_ON_WHATSAPP))
            return 0, None
        return None, (text, contact)

    def _wait_for_connection(self) -> float:
        self.people.forget()
        text = self._waiting[0]
        left = max(text.since, self._online_at or 0.0) + WAIT_SECONDS - time.monotonic()
        if left > 0:
            return left
        self._ended.append(_failed(self._waiting.popleft().id, NotSent.NOT_ONLINE))
        return 0

    async def _turn(self, ripe: tuple[Text, Contact] | None) -> float:
        """Write what has been heard, begin with a text, and learn of new ones, by one script. Return the pause (s) then."""
        held, known = self.held, [one.id for one in (*self._hand, *self._waiting)]
        ends = list(itertools.islice(self._ended, WRITTEN_AT_ONCE))
        receipts, confirmations = await self._confirmations() if len(ends) == len(self._ended) else ([], [])
        entries = ends + confirmations
        self._stale = self._stale and held is None
        try:
            step = await self._links.outbox.step(
                self.session,
                entries,
                lease=held.lease if held else None,
                begin=ripe[0].id if ripe else None,
                weight=FIRST_WEIGHT if ripe and not ripe[1].known else 1.0,
                known=known if held else None,
            )
        except BaseException:
            self._stale = True
            raise
        if None in step.news:  # Redis has forgotten more than a text: our lease is taken anew, or is another's
            self._stale = True
            return AGAIN_SECONDS
        self._strike(ends, receipts)
        for entry, news in zip(entries, step.news, strict=True):
            self._note(entry, news=bool(news))
        if held is not None and self.held is held:
            await self._learn(step.texts)
        if held is None or ripe is None or step.begun is None:
            return 0
        return await self._begun(*ripe, *step.begun)

    async def _begun(self, text: Text, contact: Contact, word: Begun, seconds: float) -> float:
        if word is Begun.WAIT:
            # Not in step with a clock: even gaps are what machines have.
            return seconds * random.uniform(1.0, 1.5)  # noqa: S311 - spreading, not secrecy
        if word is Begun.LOST:
            return AGAIN_SECONDS  # it is let go of, or retaken, any moment
        if not self._waiting or self._waiting[0] is not text:
            # Another was put before it meanwhile, or the session is another's: this one has not left.
            self._ended.append(Entry(text.id, Written.REQUEUED))
            return 0
        self._waiting.popleft()
        if word is Begun.OVER:
            return 0
        self._hand.append(text)
        to = contact.account or text.message.to
        order = pipe.Send(session=self.session, message=text.id, to=to, text=text.message.text, volley=self._volley)
        if not await self._holders.send(self.session, order) and text in self._hand:
            self._take_back(text)  # its holder is gone, or going: the text has not left
            return AGAIN_SECONDS
        return 0

    async def _learn(self, texts: Sequence[Waiting] | None) -> None:
        """Put new texts behind the others. None: the outbox is not what we believe, so it is read whole."""
        if texts is None:
            texts = await self._links.outbox.waiting(self.session)
        elif len(texts) >= LEARNT_AT_ONCE:
            self._stale = True  # there may be more
        if not texts:
            return
        known = {one.id for one in (*self._waiting, *self._hand)} | {one.message for one in self._ended}
        now = time.monotonic()
        for one in texts:
            if one.id in known:
                continue
            if told := self._told.get(one.id):  # Redis went back: what was told once stays so
                self._ended.extend(told.values())
            elif one.sending or one.message is None:  # its worker has died with it, or it was kept too long
                self._ended.append(_failed(one.id, NotSent.UNKNOWN if one.sending else NotSent.BUSY))
            else:
                self._waiting.append(Text(one.id, one.message, next(self._places), now - one.age / 1000))

    async def _confirmations(self) -> tuple[list[pipe.Confirmed], list[Entry]]:
        """Some receipts, and what they say of our own texts."""
        receipts: list[pipe.Confirmed] = []
        entries: list[Entry] = []
        for event in list(self._receipts):
            if len(entries) >= WRITTEN_AT_ONCE:
                break
            receipts.append(event)
            for whatsapp_id in event.whatsapp_ids:
                message = self._ids.get(whatsapp_id)
                message = message or await self._links.outbox.by_whatsapp_id(self.session, whatsapp_id)
                if message is None:
                    continue
                fate = _OF_RECEIPT.get(event.receipt)
                fate = fate and replace(fate, whatsapp_id=whatsapp_id, at=event.at)
                entries.append(Entry(message, Written.CONFIRMED if fate else Written.DOUBTED, fate))
        return receipts, entries

    def _note(self, entry: Entry, *, news: bool) -> None:
        """Remember what was written, and say it if it was news."""
        if entry.fate is not None:
            # What a phone confirms was sent, by a worker before this one if it is not known here.
            sent = Entry(entry.message, Written.ENDED, replace(entry.fate, state=MessageState.SENT, reason=None))
            before = {MessageState.SENT: sent} if entry.written is Written.CONFIRMED else {}
            self._told.setdefault(entry.message, before)[entry.fate.state] = entry
            if len(self._told) > MOST_WAITING:
                self._told.popitem(last=False)
        if news and entry.written is Written.DOUBTED:
            self._links.spawn(self._look_at_doubts(), "send")
        if not news or entry.written is not Written.ENDED or entry.fate is None:
            return
        about, fate = {"session": self.session, "message": entry.message}, entry.fate
        if fate.state is MessageState.SENT:
            log.info("message.sent", **about)
        else:
            log.warning("message.failed", **about, why=fate.reason, status=fate.status)

    def _strike(self, ends: Sequence[Entry], receipts: Sequence[pipe.Confirmed]) -> None:
        """Strike what is written; at SIGTERM two may write the same."""
        for end in ends:
            if self._ended and self._ended[0] is end:
                self._ended.popleft()
        for receipt in receipts:
            if self._receipts and self._receipts[0] is receipt:
                self._receipts.popleft()

    async def _look_at_doubts(self) -> None:
        await asyncio.sleep(DOUBT_MS / 1000 + 0.5)
        await self._links.outbox.end_unconfirmed()

    def restore(self) -> None:
        """Keep in Redis again what is known here, as it has lost its memory."""
        self._forgotten = True
        self.wake()

    async def _keep_again(self, held: HeldSession) -> None:
        """Keep again what is under way, marked so, what waits, and what was last told of texts that Redis may know."""
        self._forgotten = False
        try:
            if told := self._last_told():
                await self._links.outbox.step(self.session, told)
            for one in (*self._hand, *self._waiting):
                await self._links.outbox.restore(self.session, one.id, one.message)
            for one in tuple(self._hand):
                await self._links.outbox.step(self.session, lease=held.lease, begin=one.id, weight=0.0)
        except BaseException:
            self._forgotten = True
            raise

    def _last_told(self) -> list[Entry]:
        last = itertools.islice(reversed(self._told.values()), WRITTEN_AT_ONCE)
        return [entry for told in last for entry in told.values()]

    def stop(self) -> None:
        """Stop, as the session is held here no more. Texts that have not left wait for the next worker that holds it."""
        self.held = None
        self._waiting.clear()
        self.wake()

    async def finish(self) -> None:
        """Stop, and wait a little for the holder's answers. What has none by then may have been sent or not."""
        self.stop()
        try:
            async with asyncio.timeout(LAST_SECONDS):
                while self._hand:
                    self._quiet.clear()
                    await self._quiet.wait()
        except TimeoutError:
            self._ended.extend(_failed(one.id, NotSent.UNKNOWN) for one in self._hand)
            self._hand.clear()
        self._ended.extend(self._last_told())  # Redis may have gone back, unnoticed yet
        while self._ended:
            await self._turn(None)


def _failed(message: str, reason: NotSent) -> Entry:
    return Entry(message, Written.ENDED, Fate(MessageState.FAILED, reason))
