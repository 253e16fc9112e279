"""The one module that imports neonize (0.5.2), and everything that must be known to survive it: hence one file.

One `Library` in a process, one `Client` for each start of a session. Only in an engine process: a panic of the Go
library aborts the process that loaded it. What is guarded against here is measured, and pinned by tests/engine:

* its Go maps have no locks: starts, stops and the entries of calls pass one lock;
* a client that is collected stops a newer one of the same uuid: uuids are fresh, the finalizer is detached;
* callbacks must outlive late Go routines: they are kept for the life of the process;
* each started client occupies a thread of the default executor: it is sized by `Library`;
* get_me() panics without a connection: never called; the jid and lid come with the events.
"""

import asyncio
import ctypes
import logging
import re
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any
from uuid import uuid4

from workers.engine.child import happenings as happen
from workers.engine.child.happenings import ClientError, Happening
from workers.engine.child.overheard import RefusalText, logged_out, overhear
from workers.engine.devices import is_postgres
from workers.engine.orders import Options
from workers.engine.protocol import Ended, LostReason, Paired, Receipt, Word

# Before the import: neonize calls logging.basicConfig(INFO), which does nothing if there is a handler. Nothing that the
# library logs is passed on: phones, JIDs and whole stanzas are in it.
logging.getLogger().addHandler(logging.NullHandler())
logging.getLogger().setLevel(logging.WARNING)
# neonize takes Go's log level from this logger. Unset means debug: every stanza would be handed to Python.
logging.getLogger("neonize.utils.log").setLevel(logging.INFO)

import neonize.aioze.client as binding  # noqa: E402
from neonize._binder import ProxySettings, gocode  # noqa: E402
from neonize.aioze import events as ev  # noqa: E402
from neonize.aioze.client import NewAClient  # noqa: E402
from neonize.exc import NeonizeError  # noqa: E402
from neonize.proto.Neonize_pb2 import JID, ConnectFailureReason, PairStatus  # noqa: E402
from neonize.proto.waCompanionReg.WAWebProtobufsCompanionReg_pb2 import DeviceProps  # noqa: E402
from neonize.proto.waE2E.WAWebProtobufsE2E_pb2 import Message  # noqa: E402
from neonize.utils.enum import ClientName, ClientType  # noqa: E402

#: Longest time in seconds for which a start keeps others waiting. A dial that takes longer goes on without the lock.
FIRST_SIGN = 1.0
#: Longest time in seconds for which a silent server keeps a dial.
DIAL = 20.0
#: Longest time in seconds for which a call keeps the lock: the Go side looks its client up in the map within microseconds of entry.
ENTRY = 0.005

#: A moment before this is in seconds (they reach it in the year 5138), else in milliseconds.
SECONDS_END = 10**11

# neonize binds Stop, which returns nothing, as returning a string to free: whatever is in the register gets freed.
# This is the true type of the same symbol, and of Disconnect.
_STOP = ctypes.CFUNCTYPE(None, ctypes.c_char_p)


class Library:
    """The loaded library: make it inside the process's one event loop (callbacks go to the first loop for ever)."""

    def __init__(self, options: Options, threads: int) -> None:
        """`threads`: the most clients that run and calls that are under way. Threads are made when they are needed."""
        self.options = options
        self.lock = asyncio.Lock()
        self.starts = 0
        self.kept: list[Any] = []
        self.executor = ThreadPoolExecutor(threads, "neonize")
        asyncio.get_running_loop().set_default_executor(self.executor)


class Client:
    """One start of one session. `happenings` fills from `start` on; a client is never started twice."""

    def __init__(
        self,
        library: Library,
        name: str,
        *,
        new_device: bool = False,
        jid: str | None = None,
        proxy_url: str | None = None,
        receipts: bool = False,
        inbound: bool = False,
    ) -> None:
        """`name` is the library's name of the store (`devices.py`); `proxy_url` overrides that of the options.

        `new_device` pairs a new one; `jid` selects one of many, and must be in the store. Neither takes the first
        device of the store: only for a file with one.
        """
        if is_postgres(name) and not new_device and jid is None:
            raise ValueError("the first device of a shared store is somebody else's")
        self.happenings: asyncio.Queue[Happening] = asyncio.Queue()
        self._library = library
        self._proxy_url = proxy_url or library.options.proxy_url
        self._seen = asyncio.Event()
        self._said: RefusalText | None = None
        self._stored, self._known, self._untold = not new_device, False, False
        self._loop = asyncio.get_running_loop()
        # A `jid` given to the constructor would force the uuid to the phone number.
        self._neonize = NewAClient(
            name, props=_props(library.options.device_name), uuid=uuid4().hex, new_device=new_device
        )
        self._neonize._stop_finalizer.detach()  # noqa: SLF001  (see above; there is no other way)
        if jid is not None:
            self._neonize.jid = parse_jid(jid)
        self._listen(receipts=receipts, inbound=inbound)

    def pair_into(self, name: str) -> None:
        """Name the store of a client that was made without one, before it is started."""
        self._neonize.name = name

    async def start(self) -> None:
        """Begin to connect; returns at the first sign of life, at the latest after `FIRST_SIGN`."""
        async with self._library.lock:
            self._library.starts += 1
            binding.log_whatsmeow = self._overhear  # what neonize gives the library for the log of this client
            task = await self._neonize.connect(ProxySettings(self._proxy_url) if self._proxy_url else None)
            self._library.kept.append(self._neonize._connect_refs)  # noqa: SLF001
            task.add_done_callback(self._ended)
            await self._sign(FIRST_SIGN)

    async def stop(self) -> bool:
        """Disconnect. Return False if the client's thread stays. Never for a client that shows a QR: that can abort the process.

        It waits for a dial that is under way, 20 s at most; for the first dial without the lock.
        """
        await self._sign(FIRST_SIGN if self._untold else DIAL)
        waits = self._untold and not self._known  # and may still look into the maps: it is left there
        async with self._library.lock:
            await asyncio.to_thread(_STOP(("Disconnect" if waits else "Stop", gocode)), self._neonize.uuid)
        return not waits

    async def _sign(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._seen.wait()

    async def pair_phone(self, phone: str) -> str:
        """A pairing code for the E.164 number. Not before the first QR. Raises `ClientError`."""
        call = self._neonize.PairPhone(
            phone, show_push_notification=True, client_name=ClientName.LINUX, client_type=ClientType.CHROME
        )
        return str(await self._enter(call))

    async def send_text(self, to: str, text: str) -> tuple[str, int]:
        """Send to an E.164 number or a JID. Returns WhatsApp's id for the text and its time (ms). Raises `ClientError`.

        The text goes as a finished message: in a string neonize looks for mentions, and asks the server for groups.
        """
        jid = parse_jid(to) if "@" in to else _of_number(to)
        answer = await self._enter(self._neonize.send_message(jid, Message(conversation=text)))
        return str(answer.ID), _ms(answer.Timestamp)

    async def on_whatsapp(self, numbers: list[str]) -> list[tuple[str, str, bool]]:
        """For each E.164 number that the server knows: the number as asked, its JID, whether it is on WhatsApp. Raises
        `ClientError`, also if the server knows none."""
        found = await self._enter(self._neonize.is_on_whatsapp(*numbers))
        return [(str(one.Query), format_jid(one.JID), bool(one.IsIn)) for one in found]

    async def lid_of(self, number: str) -> str:
        """The LID of an E.164 number by the client's own store, or nothing. Raises `ClientError`."""
        found = await self._enter(self._neonize.get_lid_from_pn(_of_number(number)))
        return format_jid(found) if found.User else ""

    async def number_of(self, lid: str) -> str:
        """The JID with the number of a LID by the client's own store, or nothing. Raises `ClientError`."""
        found = await self._enter(self._neonize.get_pn_from_lid(parse_jid(lid)))
        return format_jid(found) if found.User else ""

    async def learn(self, numbers: list[str]) -> None:
        """Fetch the LIDs of E.164 numbers into the client's own store. Raises `ClientError`."""
        await self._enter(self._neonize.get_user_info(*map(_of_number, numbers)))

    async def devices(self, jids: list[str]) -> int:
        """Fetch the devices of people into the library's memory. Return their number. Raises `ClientError`."""
        return len(await self._enter(self._neonize.get_user_devices(*map(parse_jid, jids))))

    async def log_out(self) -> None:
        """Unlink at WhatsApp, which also deletes the device from its store. Raises `ClientError`."""
        await self._enter(self._neonize.logout())

    async def _enter(self, call: Any) -> Any:
        async def translated() -> Any:
            try:
                return await call
            except NeonizeError as error:
                raise ClientError(_text(error)) from None
            except Exception as error:  # noqa: BLE001  (a bug of one call must not cost the neighbours; it is reported)
                raise ClientError(f"internal: {type(error).__name__}") from None

        async with self._library.lock:
            task = asyncio.ensure_future(translated())
            await asyncio.wait({task}, timeout=ENTRY)
        return await task

    def _put(self, happening: Happening | None) -> None:
        if happening is not None:
            self.happenings.put_nowait(happening)
        self._seen.set()

    def _listen(self, *, receipts: bool, inbound: bool) -> None:
        """Subscribe to what matters only: other events are not even serialised by the Go side."""
        client = self._neonize

        def subscribe(event: Any, translate: Any) -> None:
            async def handler(_: Any, message: Any) -> None:
                self._put(translate(message))

            client.event(event)(handler)

        subscribe(ev.PairStatusEv, self._paired)
        subscribe(ev.ConnectedEv, lambda _: happen.Pulse.LOGGED_IN)
        subscribe(ev.DisconnectedEv, lambda _: happen.Pulse.CUT)
        subscribe(ev.KeepAliveTimeoutEv, lambda _: happen.Pulse.SILENT)
        subscribe(ev.KeepAliveRestoredEv, lambda _: happen.Pulse.ANSWERING)
        subscribe(ev.LoggedOutEv, lambda m: logged_out(ConnectFailureReason.Name(m.Reason)))
        subscribe(ev.StreamReplacedEv, lambda _: Ended(refusal=LostReason.REPLACED, reason="stream replaced"))
        subscribe(ev.TemporaryBanEv, lambda m: self._refused(LostReason.BANNED, f"code {m.Code}", m.Expire or None))
        subscribe(ev.ClientOutdatedEv, lambda _: Ended(refusal=LostReason.OUTDATED, reason="client outdated (405)"))
        subscribe(
            ev.ConnectFailureEv,
            lambda m: self._refused(LostReason.REFUSED, f"{ConnectFailureReason.Name(m.Reason)} {m.Message}".strip()),
        )
        if receipts:
            subscribe(ev.ReceiptEv, _receipted)
        if inbound:
            subscribe(ev.MessageEv, happen.Mail)

        async def on_qr(_: Any, text: bytes) -> None:
            self._put(happen.QrShown(text.decode()))

        async def on_word(word: str) -> None:
            # With WhatsApp's words if it has refused the client, as far as the library has told its log.
            self._stored = self._stored or word == "success"
            self._put(Word(word=word, said=self._said.text if self._said is not None else ""))

        client.qr(on_qr)
        # A no-op in neonize, and the only news of a client that never pairs. Called in the Go thread, with pointers; by
        # the same way into the loop as events and QRs, so that all stay in order.
        client._NewAClient__onLoginStatus = lambda _, text: asyncio.run_coroutine_threadsafe(  # noqa: SLF001
            on_word(ctypes.string_at(text).decode()), self._loop
        )
        # Event 0 (who am I) ends the start of a stored device: the last look into the maps that is not ours.
        execute = client.event.execute

        def executed(uuid: Any, binary: Any, size: Any, code: int) -> None:
            if code == _MESSAGE:  # they are many, and neonize makes a task, two futures and a lock of each
                mail = happen.Mail(ev.MessageEv.FromString(ctypes.string_at(binary, size)))
                self._loop.call_soon_threadsafe(self._put, mail)
                return
            execute(uuid, binary, size, code)
            if code == 0:
                self._loop.call_soon_threadsafe(known)

        def known() -> None:
            self._known = True
            self._seen.set()

        client.event.execute = executed

    def _refused(self, reason: LostReason, detail: str, seconds: int | None = None) -> Happening:
        """A refused login, in WhatsApp's words if the library has told its log of them."""
        if self._said is not None:
            detail, seconds = self._said.text, seconds or self._said.seconds
        until = None if seconds is None else time.time_ns() // 10**6 + seconds * 1000
        return Ended(refusal=reason, reason=detail, until=until)

    def _overhear(self, binary: Any, size: int) -> None:
        """Called in a thread of Go's for each line of the client's log, before the events that come of it."""
        if binary and size > 0 and (found := overhear(ctypes.string_at(binary, size))) is not None:
            self._loop.call_soon_threadsafe(self._hear, found)

    def _hear(self, found: Happening | RefusalText) -> None:
        if isinstance(found, RefusalText):
            self._said = found
        elif not isinstance(found, Ended):
            self.happenings.put_nowait(found)
        elif self._stored and not self._known:
            # The library has deleted the device before event 0, for which the thread then waits for ever: no event comes.
            self._untold = True
            self.happenings.put_nowait(found)

    def _paired(self, message: Any) -> Happening:
        if message.Status != PairStatus.SUCCESS:
            return Ended(reason=message.Error)
        me = self._neonize.me
        lid = format_jid(me.LID) if me is not None and me.HasField("LID") and me.LID.User else ""
        return Paired(jid=format_jid(message.ID), lid=lid)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        error = task.exception()
        # Others than the library's own are bugs, or no thread could be made.
        known = error is None or isinstance(error, NeonizeError)
        detail = (_text(error) if known else f"internal: {type(error).__name__}") if error is not None else ""
        # A reason or ban code that neonize's messages do not know cannot be serialised; the client's thread breaks on
        # it, and this is the only trace: "proto: required field neonize.TemporaryBan.Code not set".
        if "TemporaryBan" in detail:
            self._put(self._refused(LostReason.BANNED, detail))
        elif "ConnectFailure" in detail:
            self._put(self._refused(LostReason.REFUSED, detail))
        else:
            self._put(happen.Pulse.DEAF if _UNTOLD.search(detail) else happen.Over(detail))


_MESSAGE = ev.EVENT_TO_INT[ev.MessageEv]
#: A receipt or message with something that neonize has no word for (`server-error`): its telling breaks, the session does not.
_UNTOLD = re.compile(r"required field neonize\.(?:Receipt|Message)")

_RECEIPTS = {
    ev.ReceiptEv.DELIVERED: Receipt.DELIVERED,
    ev.ReceiptEv.READ: Receipt.READ,
    ev.ReceiptEv.PLAYED: Receipt.READ,
    ev.ReceiptEv.RETRY: Receipt.UNREADABLE,
}


def _props(name: str) -> DeviceProps:
    """Properties of a new device: a browser that asks for as little history as it can, since nobody here reads it.

    The phone decides what it sends. What first texts need to find their receivers comes in any case.
    """
    little = DeviceProps.HistorySyncConfig(fullSyncDaysLimit=1, fullSyncSizeMbLimit=1, recentSyncDaysLimit=1)
    # initialSyncMaxMessagesPerChat (20) = 1: the library knows it, neonize's message does not yet.
    little.MergeFromString(b"\xa0\x01\x01")
    return DeviceProps(os=name, platformType=DeviceProps.CHROME, requireFullSync=False, historySyncConfig=little)


def _receipted(message: Any) -> Happening | None:
    receipt = _RECEIPTS.get(message.Type)
    if receipt is None or message.MessageSource.IsFromMe:
        return None
    return happen.Receipted(receipt, tuple(message.MessageIDs), _ms(message.Timestamp))


def _ms(moment: int) -> int:
    """Milliseconds since the epoch. neonize tells some moments in seconds."""
    return moment * 1000 if moment < SECONDS_END else moment


def _text(error: BaseException) -> str:
    """The library's text without the password of a proxy or database."""
    return " ".join(map(_without_password, str(error).split(" ")))[:500]


def _without_password(word: str) -> str:
    scheme, mark, rest = word.partition("://")
    return f"{scheme}://…@{rest.rpartition('@')[2]}" if mark and "@" in rest else word


def _of_number(number: str) -> Any:
    """The JID of an E.164 number."""
    return parse_jid(f"{number.lstrip('+')}@s.whatsapp.net")


def parse_jid(jid: str) -> Any:
    """`number:device@server` as neonize's JID."""
    user, _, server = jid.partition("@")
    number, _, device = user.partition(":")
    return JID(User=number, Device=int(device or 0), Server=server, RawAgent=0, Integrator=0)


def format_jid(jid: Any) -> str:
    """`number:device@server`, without the device number if it is 0, as whatsmeow's store writes it."""
    return f"{jid.User}:{jid.Device}@{jid.Server}" if jid.Device else f"{jid.User}@{jid.Server}"
