"""A linker process: one attempt to link a phone, and then gone.

It is never stopped politely while unpaired: the thread of an unpaired client never ends, and stop() at the wrong moment
aborts the process. Cancel is SIGKILL.
"""

import asyncio
import math
import re
import socket
import time
from contextlib import suppress
from typing import NoReturn, assert_never

from workers.engine import protocol as pipe
from workers.engine.child import happenings as happen
from workers.engine.child.client import Client, Library
from workers.engine.child.confine import seal
from workers.engine.child.happenings import ClientError
from workers.engine.child.process import leave
from workers.engine.child.warmup import empty_store, warm_up
from workers.engine.devices import device_in, pairing_name
from workers.engine.orders import Options
from workers.engine.pipe import Pipe, WrongMessage

#: From `start` to the first QR, in seconds. Some silences the library waits for without any end.
QR_LIMIT = 30.0
#: From the phone's consent to the finished login, in seconds.
LOGIN_LIMIT = 30.0
#: Silence after the consent, in seconds, until the login is begun anew; then double. A login takes 0.5 s on loopback
#: and some 3 s at 300 ms round trip, most of it for the 812 prekeys.
LOGIN_SILENCE = 6.0
#: For the answer to a request for a code, in seconds. The library itself waits 75 s.
CODE_LIMIT = 30.0
#: For a polite stop of the logged-in client, in seconds (measured: 1 ms).
STOP_LIMIT = 5.0

#: Words after which the client is dead. Others (`passkey-request`, `err-scanned-without-multidevice`) only travel.
FINAL_WORDS = frozenset({"timeout", "error", "err-client-outdated", "err-unexpected-state"})

_STATUS = re.compile(r"\bstatus (\d{3})\b")


async def main(sock: socket.socket, options: Options) -> None:
    """Say `ready`, wait for `start`, run the attempt."""
    # Threads: two clients (the second after a silent login), one that warms up, and calls.
    library = Library(options, threads=16)
    worker = await Pipe.open(sock, pipe.to_linker)
    if not options.awaited:
        await warm_up(library)
    # Before anybody waits for them.
    store, client = empty_store(options), Client(library, "", new_device=True)
    await worker.send(pipe.Ready(held=seal()))
    start = await worker.receive()
    if start is None:
        leave()
    if not isinstance(start, pipe.Start):
        raise WrongMessage(f"{type(start).__name__} before start")
    if start.jid:
        client = Client(library, pairing_name(start.database))
    else:
        if store is not None:
            store.rename(start.database)
        client.pair_into(pairing_name(start.database))
    attempt = LinkerRun(library, worker, start, client)
    if start.jid:
        await attempt.go_on(start.jid)
    await attempt.run()


class LinkerRun:
    def __init__(self, library: Library, worker: Pipe[pipe.ToLinker], start: pipe.Start, client: Client) -> None:
        self._library = library
        self._worker = worker
        self._start = start
        self._client = client
        self._phones: asyncio.Queue[str] = asyncio.Queue()
        self._asked: set[str] = set()  # phones whose code was not answered yet
        self._first_qr = asyncio.Event()
        self._qrs = 0
        # Loop times: of the next look if nothing happens (None: never), and, after the phone's consent, of the last.
        self._look: float | None = asyncio.get_running_loop().time() + QR_LIMIT
        self._agreed = False
        self._give_up = math.inf
        self._silence = LOGIN_SILENCE

    async def go_on(self, jid: str) -> None:
        """The phone has agreed already, with a linker that died: what is missing is the login."""
        if not device_in(self._start.database, jid):
            await self._end("the file holds no device")  # a client would show a QR, or abort the process
        self._expect_login()

    async def run(self) -> None:
        """Run to the end, which ends the process."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._obey())
            group.create_task(self._get_codes())
            group.create_task(self._client.start())
            group.create_task(self._follow())

    async def _obey(self) -> NoReturn:
        while (message := await self._worker.receive()) is not None:
            match message:
                case pipe.RequestCode(phone=phone) if phone not in self._asked:
                    self._asked.add(phone)
                    self._phones.put_nowait(phone)
                case pipe.Start() if message != self._start:
                    raise WrongMessage("another start")
                case pipe.RequestCode() | pipe.Start():
                    pass  # said twice
                case _:
                    assert_never(message)
        leave()  # the worker is gone

    async def _get_codes(self) -> NoReturn:
        while True:
            phone = await self._phones.get()
            # Before the first QR the socket may not be up: refusals, or a crash.
            await self._first_qr.wait()
            said: pipe.Code | pipe.CodeRefused
            try:
                async with asyncio.timeout(CODE_LIMIT):
                    said = pipe.Code(text=await self._client.pair_phone(phone))
            except TimeoutError:
                said = pipe.CodeRefused(status=None, reason=f"no answer within {CODE_LIMIT:.0f} s")
            except ClientError as error:
                status = _STATUS.search(str(error))
                said = pipe.CodeRefused(status=int(status[1]) if status is not None else None, reason=str(error))
            self._asked.remove(phone)
            await self._worker.send(said)

    async def _follow(self) -> NoReturn:
        while True:
            try:
                async with asyncio.timeout_at(self._look):
                    happening = await self._client.happenings.get()
            except TimeoutError:
                if not self._agreed:
                    await self._end(f"no QR within {QR_LIMIT:.0f} s")
                await self._log_in_anew()
            else:
                await self._hear(happening)

    async def _hear(self, happening: happen.Happening) -> None:
        match happening:
            case happen.QrShown(text=text):
                if self._agreed:
                    await self._end("a QR after pairing: the store holds no device")
                self._qrs += 1
                await self._worker.send(pipe.Qr(text=text, number=self._qrs, born=time.time_ns() // 1_000_000))
                self._first_qr.set()
                self._look = None
            case pipe.Word(word=word):
                if word == "success":
                    self._expect_login()
                await self._worker.send(happening)
                if word in FINAL_WORDS:
                    await self._end(word)
            case pipe.Paired():
                self._expect_login()
                await self._worker.send(happening)
            case happen.Pulse.LOGGED_IN:
                await self._finish()
            case pipe.Ended():
                await self._end(happening)
            case happen.Over(detail=detail):
                if not self._agreed:
                    await self._end(detail)
                # The new login could not even begin: again, soon.
                self._look = asyncio.get_running_loop().time() + 1
            case happen.Pulse.DEAF | happen.Receipted() | happen.Mail():
                raise AssertionError("a linker sends no texts")
            case happen.ReceiverMissed() | happen.Oddity():
                pass  # the library has messages of its own, for the phone; whoever holds the device tells of the rest
            case happen.Pulse.CUT | happen.Pulse.SILENT | happen.Pulse.ANSWERING:
                pass  # after the consent a cut is part of it; silence is dealt with by the clock
            case _:
                assert_never(happening)

    def _expect_login(self) -> None:
        """The phone has agreed: from now the clock runs."""
        now = asyncio.get_running_loop().time()
        if not self._agreed:
            self._agreed = True
            self._give_up = now + LOGIN_LIMIT
            self._look = now + self._silence

    async def _log_in_anew(self) -> None:
        """Nothing came after the consent. The library waits for a 515 or a close that will not come; but the device is
        in the store, and a new client logs in with it."""
        now = asyncio.get_running_loop().time()
        if now >= self._give_up:
            await self._end(f"no login within {LOGIN_LIMIT:.0f} s after pairing")
        try:
            async with asyncio.timeout_at(self._give_up):
                await self._client.stop()  # paired, so it may be stopped
        except TimeoutError:
            # Never two clients with one device: the older would be replaced, or replace.
            await self._end("the paired client could not be stopped")
        self._client = Client(self._library, pairing_name(self._start.database))
        await self._client.start()
        self._silence *= 2
        self._look = min(asyncio.get_running_loop().time() + self._silence, self._give_up)

    async def _finish(self) -> NoReturn:
        if self._start.log_out:
            await self._client.log_out()
            await self._end("logged out")
        with suppress(TimeoutError):  # everything is in the store; the process ends now anyway
            async with asyncio.timeout(STOP_LIMIT):
                await self._client.stop()
        await self._worker.send(pipe.Connected())
        leave()

    async def _end(self, why: str | pipe.Ended) -> NoReturn:
        await self._worker.send(pipe.Ended(reason=why) if isinstance(why, str) else why)
        leave()
