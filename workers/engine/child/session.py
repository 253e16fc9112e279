"""One held session inside a holder process."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import assert_never

from workers.engine import protocol as pipe
from workers.engine.child import happenings as happen
from workers.engine.child import inbound
from workers.engine.child.client import Client, Library
from workers.engine.child.happenings import ClientError
from workers.engine.child.texts import TextTurns
from workers.engine.devices import device_in, held_name, is_postgres

#: For the answer to a log-out, in seconds.
LOG_OUT_LIMIT = 20.0
#: For a polite stop, in seconds; longer than the longest dial, which a stop waits for.
STOP_LIMIT = 45.0
#: The same is remarked once in so many seconds; and of so many things at most.
REMARK_SECONDS = 60.0
MOST_REMARKS = 20


class Session:
    """A session from `hold` until it is lost or released."""

    def __init__(self, hold: pipe.Hold, library: Library, tell: Callable[[pipe.Line], Awaitable[None]]) -> None:
        self.name = hold.session
        self.up = False
        #: The client's thread will never end. If it shows a QR, it must not be stopped.
        self.stuck = False
        self._runs = False
        self.texts = TextTurns(self)
        self.gone = asyncio.Event()
        self._remarked: dict[tuple[pipe.Remark, str], float] = {}  # until when it is not told again
        self._order = hold
        self._news: pipe.Held | pipe.Restored = pipe.Held(session=hold.session, library=library.options.library)
        self._release: pipe.Released | None = None
        self._going: asyncio.Task[None] | None = None
        self.tell = tell
        self._library = library
        self.client = self._another()

    def _another(self) -> Client:
        # In a file with one device no jid: should it be gone, a QR shows; with a jid the whole process would abort.
        database = self._order.database
        jid = self._order.jid if is_postgres(database) else None
        return Client(self._library, held_name(database), jid=jid, receipts=True, inbound=self._order.inbound)

    @property
    def number(self) -> str:
        """The account's own E.164 number."""
        return f"+{self._order.jid.partition('@')[0].partition(':')[0]}"

    @property
    def leaving(self) -> bool:
        """True once the session has been asked to go."""
        return self._release is not None

    async def live(self) -> pipe.Lost | pipe.Released:
        """Log in and stay until the end. Return it, at once if WhatsApp has refused the session: then `stop` is to follow."""
        database = self._order.database
        if not is_postgres(database) and not await asyncio.to_thread(device_in, database, self._order.jid):
            return self._lost(pipe.LostReason.LOGGED_OUT, "the store does not hold the device")
        while True:
            await self.tell(pipe.Starting(session=self.name))
            self._runs = True
            await self.client.start()
            end = await self._follow()
            self.up = False
            if isinstance(end, pipe.Lost) and end.reason is not pipe.LostReason.START_FAILED:
                return end
            await self.stop()
            if (over := end or self._release) is not None:
                return over
            if self.stuck:
                return self._lost(pipe.LostReason.START_FAILED, "the client does not stop")
            self.client = self._another()

    async def stop(self) -> None:
        """Stop the client, if it runs and may be stopped. Others who start, or a dial of its own, may make that long."""
        if self._runs and not self.stuck:
            self._runs, self.stuck = False, True
            with suppress(TimeoutError):
                async with asyncio.timeout(STOP_LIMIT):
                    self.stuck = not await self.client.stop()

    async def report_up(self) -> None:
        """Answer a second `hold`."""
        if self.up:
            await self.tell(pipe.Held(session=self.name, library=self._library.options.library))

    def restart(self) -> None:
        """Connect anew: the library waits for an answer that does not come, and sends nothing meanwhile."""
        self.client.happenings.put_nowait(happen.Pulse.DEAF)

    def release(self, patience: float = 5.0, detail: str = "") -> None:
        """Ask it to go. `live` returns once the text under way is answered, after `patience` seconds at most. Idempotent."""
        if self._release is None:
            self._release = pipe.Released(session=self.name, detail=detail)
            self._going = asyncio.create_task(self._go(patience))

    async def _go(self, patience: float) -> None:
        await self.texts.stop(patience)
        self.client.happenings.put_nowait(happen.Over(""))

    async def log_out(self) -> None:
        """Unlink at WhatsApp, then go; if that fails, go all the same and say why."""
        try:
            async with asyncio.timeout(LOG_OUT_LIMIT):
                await self.client.log_out()
        except TimeoutError:
            self.release(detail=f"no answer within {LOG_OUT_LIMIT:.0f} s")
        except ClientError as error:
            self.release(detail=str(error))
        else:
            # The library reports only log-outs that somebody else began.
            self.client.happenings.put_nowait(pipe.Ended(refusal=pipe.LostReason.LOGGED_OUT, reason="by us"))

    async def _follow(self) -> pipe.Lost | pipe.Released | None:
        """The end of the session; None if it is to be connected anew."""
        while True:
            happening = await self.client.happenings.get()
            match happening:
                case happen.Pulse.LOGGED_IN | happen.Pulse.ANSWERING:
                    await self._rise()
                case happen.Pulse.CUT | happen.Pulse.SILENT:
                    await self._fall()
                case pipe.Ended(refusal=refusal, reason=detail, until=until) if refusal is not None:
                    return self._lost(refusal, detail, until)
                case happen.QrShown() | pipe.Word():
                    self.stuck = True
                    return self._lost(pipe.LostReason.LOGGED_OUT, "the store holds no device any more")
                case happen.Over(detail=detail):
                    return self._release or self._lost(pipe.LostReason.START_FAILED, detail)
                case happen.Receipted(receipt=receipt, whatsapp_ids=ids, at=at):
                    await self.texts.confirmed(receipt, ids, at)
                case happen.ReceiverMissed(whatsapp_id=whatsapp_id):
                    await self.texts.left_out(whatsapp_id)
                case happen.Oddity(remark=remark, detail=detail):
                    await self._remark(remark, detail)
                case happen.Mail(event=event):
                    if (line := inbound.read(self.name, event)) is not None:
                        await self.tell(line)
                case happen.Pulse.DEAF:
                    await self._fall()
                    return None
                case pipe.Paired() | pipe.Ended():
                    raise AssertionError("a stored device was paired")
                case _:
                    assert_never(happening)

    async def _remark(self, remark: pipe.Remark, detail: str) -> None:
        """Tell of it, but not the same again and again."""
        now = asyncio.get_running_loop().time()
        if now >= self._remarked.get((remark, detail), 0.0):
            if len(self._remarked) >= MOST_REMARKS:
                self._remarked.clear()
            self._remarked[remark, detail] = now + REMARK_SECONDS
            await self.tell(pipe.Remarked(session=self.name, remark=remark, detail=detail))

    async def _rise(self) -> None:
        if not self.up:
            self.up = True
            news, self._news = self._news, pipe.Restored(session=self.name)
            await self.tell(news)

    async def _fall(self) -> None:
        if self.up:
            self.up = False
            await self.tell(pipe.Dropped(session=self.name))

    def _lost(self, reason: pipe.LostReason, detail: str, until: int | None = None) -> pipe.Lost:
        return pipe.Lost(
            session=self.name,
            reason=reason,
            until=until,
            detail=detail,
            library=self._library.options.library,
        )
