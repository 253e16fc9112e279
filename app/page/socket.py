"""One browser's socket: a reader that turns messages into use cases, and a writer that sends what is newest.

The socket keeps nothing but its link. A message that is not of the protocol gets a typed error. A fault here ends
this socket, not the process. One file, as it is one conversation, from the first word to the last.
"""

import asyncio
import zlib
from collections import Counter as Tally
from functools import lru_cache
from typing import NamedTuple, assert_never

from pydantic import ValidationError
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from app.access import Access, BadToken, DeadLink, Link
from app.http.antechamber import Antechamber
from app.http.body import read_json
from app.onboarding import Onboarding
from app.page.gc import Garbage
from app.page.limits import Pace, Place
from app.page.look import Platform
from app.page.relay import Relay
from app.page.returning import way_back
from app.page.slot import Slot, SocketEnded, text_of, with_return
from shared.core.failures import FailureCode, Refused
from shared.core.hosts import neighbourhood
from shared.core.protocol import (
    MAX_MESSAGE_BYTES,
    BrandView,
    Cancel,
    CloseCode,
    ErrorView,
    Hello,
    MessageType,
    Profile,
    RequestPairingCode,
    RequestQr,
    ServerMessage,
    client_message,
)
from shared.log import log
from shared.settings import Settings
from shared.state.claims import REVOKED
from shared.state.pool import PASSING
from shared.state.refusals import reason
from shared.tasks import TROUBLE, cancelled
from shared.telemetry import sentry

HELLO_SECONDS = 5.0
SEND_SECONDS = 5.0
"""A socket that takes nothing for this long is closed; the browser comes back by itself."""
LAST_WORDS_SECONDS = 5.0
"""Grace period for commands already received when the tab closes."""
PACK_FROM = 1000
"""Shorter texts are sent unpacked: packing would save less than a network packet."""
SOCKETS_PER_LINK = 20
SOCKETS_PER_ADDRESS = 100
WITHOUT_HELLO = 500
"""Sockets that have not said hello, at most."""
WITHOUT_HELLO_PER_ADDRESS = 30


class Guest(NamedTuple):
    """A browser that has said hello: its link, and whether it takes packed messages."""

    link: Link
    packed: bool


class Browser:
    """Serves sockets; one instance a process."""

    def __init__(self, settings: Settings, access: Access, relay: Relay, onboarding: Onboarding) -> None:
        self._settings = settings
        self._access = access
        self._relay = relay
        self._onboarding = onboarding
        self._places: Tally[str] = Tally()
        self._silent = Antechamber(WITHOUT_HELLO, WITHOUT_HELLO_PER_ADDRESS, _hurry)
        self._sending: dict[asyncio.Timeout, float] = {}
        self.garbage = Garbage()

    async def serve(self, socket: WebSocket) -> None:
        if socket.headers.get("origin") not in self._settings.origins:
            await socket.close(CloseCode.ORIGIN)  # before accept: the browser gets HTTP 403
            return
        await socket.accept()
        with self.garbage.socket():
            await self._serve(socket)

    async def _serve(self, socket: WebSocket) -> None:
        address = _address(socket)
        try:
            async with Place(self._places, f"address:{address}", SOCKETS_PER_ADDRESS):
                guest = await self._hello(socket, address)
                async with Place(self._places, f"link:{guest.link.id}", SOCKETS_PER_LINK):
                    await self._converse(socket, guest)
        except SocketEnded as end:
            await self._close(socket, end.code)
        except WebSocketDisconnect:
            pass  # the browser has gone, as browsers do
        except TROUBLE as error:
            # Redis is away, or the socket is stuck. The browser reconnects and finds the present state.
            log.warning("socket.lost", error=reason(error))
            await self._close(socket, CloseCode.RESTART)
        except Exception as error:  # noqa: BLE001 - sockets bypass the middleware that reports bugs
            sentry.report("socket", error)
            await self._close(socket, CloseCode.RESTART)

    async def _hello(self, socket: WebSocket, address: str) -> Guest:
        """The guest of the link that the first message names."""
        try:
            async with asyncio.timeout(HELLO_SECONDS) as patience:
                self._silent.enter(patience, address)
                try:
                    message = read_json(client_message.validate_json, await _receive(socket))
                finally:
                    self._silent.leave(patience)
        except TimeoutError:
            raise SocketEnded(CloseCode.NO_HELLO) from None
        except ValidationError as error:
            first = error.errors()[0]
            is_token = first["loc"] == ("hello", "token") and first["type"] != "missing"
            raise SocketEnded(CloseCode.TOKEN if is_token else CloseCode.NO_HELLO) from None
        if not isinstance(message, Hello):
            raise SocketEnded(CloseCode.NO_HELLO)
        try:
            return Guest(self._access.verify(message.token), message.packed)
        except BadToken as bad:
            if isinstance(bad, DeadLink):
                await self._say_whose(socket, bad.link)
            raise SocketEnded(CloseCode.TOKEN) from None

    async def _converse(self, socket: WebSocket, guest: Guest) -> None:
        link = guest.link
        async with self._relay.watch(link.session, link.id) as slot:
            # Only now that the slot hears of revocations: an earlier one is read here, a later one closes the socket.
            standing = await self._onboarding.standing(link)
            if standing == REVOKED:
                await self._say_whose(socket, link)
                raise SocketEnded(CloseCode.TOKEN)
            await self._greet(socket, slot, guest, self._profile(link, spent=bool(standing)))
            reader = asyncio.create_task(self._read(socket, link, slot))
            writer = asyncio.create_task(self._write(socket, guest, slot))
            try:
                done, _ = await asyncio.wait({reader, writer}, return_when=asyncio.FIRST_COMPLETED)
                if reader not in done and isinstance(writer.exception(), WebSocketDisconnect):
                    await asyncio.wait({reader}, timeout=LAST_WORDS_SECONDS)
                for task in done:
                    task.result()
            finally:
                for task in (reader, writer):
                    if not task.done():
                        await cancelled(task)
                await asyncio.gather(reader, writer, return_exceptions=True)  # what they raised has been seen

    async def _greet(self, socket: WebSocket, slot: Slot, guest: Guest, profile: Profile) -> None:
        """Send the first message. A method of its own, so that the message does not live as long as the socket."""
        snapshot = await slot.first()
        back = way_back(self._settings, guest.link, snapshot)
        hello = ServerMessage(type=MessageType.STATUS, snapshot=snapshot, profile=profile, return_url=back)
        async with asyncio.timeout(SEND_SECONDS):
            await _send(socket, text_of(hello), packed=guest.packed)

    async def _write(self, socket: WebSocket, guest: Guest, slot: Slot) -> None:
        async with asyncio.timeout(None) as patience:
            try:
                while True:
                    text, body = await slot.next()
                    if body is not None and (back := way_back(self._settings, guest.link, body)):
                        text = with_return(text, back)
                    self._sending[patience] = asyncio.get_running_loop().time()
                    await _send(socket, text, packed=guest.packed)
                    del self._sending[patience]
            finally:
                self._sending.pop(patience, None)

    async def patrol(self) -> None:
        """End writers of sockets that take nothing, until cancelled. A timer a message would cost as much as writing."""
        while True:
            await asyncio.sleep(1)
            now = asyncio.get_running_loop().time()
            for patience, since in self._sending.items():
                if now - since > SEND_SECONDS:
                    _hurry(patience)

    async def _say_whose(self, socket: WebSocket, link: Link) -> None:
        """Send the only message for a dead link: the platform behind it, and where to ask for a new link."""
        error = ErrorView(code=FailureCode.LINK_SPENT)
        message = ServerMessage(type=MessageType.ERROR, error=error, profile=self._profile(link, spent=False))
        async with asyncio.timeout(SEND_SECONDS):
            await _send(socket, text_of(message))

    async def _read(self, socket: WebSocket, link: Link, slot: Slot) -> None:
        pace = Pace()
        while True:
            text = await _receive(socket)
            pace.take()
            try:
                if not await self._obey(link, text, _address(socket)):
                    await self._relay.repeat(link.session, slot)
            except Refused as refused:
                view = ErrorView(code=refused.code, retry_at=refused.retry_at, field=refused.field)
                slot.answer(ServerMessage(type=MessageType.ERROR, error=view))
                await self._onboarding.refused(refused.code)
            except PASSING:
                raise  # Redis is away: the browser reconnects and repeats it
            except Exception as error:  # noqa: BLE001 - the bug is reported, and the socket lives on
                sentry.report("command", error, session=link.session)
                slot.answer(ServerMessage(type=MessageType.ERROR, error=ErrorView(code=FailureCode.INTERNAL)))

    async def _obey(self, link: Link, text: str, address: str) -> bool:
        """Do what the message asks. True if that leads to a new announcement."""
        try:
            message = read_json(client_message.validate_json, text)
        except ValidationError as error:
            where = ".".join(str(part) for part in error.errors()[0]["loc"][-1:]) or "type"
            raise Refused(FailureCode.FORBIDDEN, field=where) from None
        match message:
            case RequestQr():
                return await self._onboarding.request_qr(link)
            case RequestPairingCode(phone_number=typed, region=region):
                return await self._onboarding.request_code(link, typed, address, region)
            case Cancel():
                return await self._onboarding.cancel(link)
            case Hello():
                raise Refused(FailureCode.FORBIDDEN, field="type")
            case _:
                assert_never(message)

    def _profile(self, link: Link, *, spent: bool) -> Profile:
        platform, config = Platform.of(self._settings, link.look), self._settings
        return Profile(
            company=link.company_name,
            platform=platform.name,
            locale=link.locale,
            region=link.region or config.default_region,
            return_url=link.return_url,
            device_name=platform.device,
            phone_hint=link.phone,
            spent=spent,
            link_region=link.region,
            refresh_url=link.refresh_url,
            support_url=platform.support_url,
            privacy_url=platform.privacy_url,
            brand=BrandView(accent=platform.accent, logo_url=platform.logo_url) if platform.style else None,
        )

    @staticmethod
    async def _close(socket: WebSocket, code: CloseCode) -> None:
        if socket.application_state is WebSocketState.CONNECTED:
            try:
                async with asyncio.timeout(SEND_SECONDS):
                    await socket.close(code)
            except (RuntimeError, OSError, TimeoutError, WebSocketDisconnect) as error:
                log.debug("socket.gone", error=type(error).__name__)


def _hurry(patience: asyncio.Timeout) -> None:
    if not patience.expired():
        patience.reschedule(asyncio.get_running_loop().time())


def _address(socket: WebSocket) -> str:
    return neighbourhood(socket.client.host) if socket.client else "unknown"


async def _receive(socket: WebSocket) -> str:
    """The next text. Bytes are no message of the protocol. An oversize message was refused by the server (1009)."""
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code") or 1005)
    text: str | None = message.get("text")
    if text is None or len(text.encode()) > MAX_MESSAGE_BYTES:
        raise SocketEnded(CloseCode.TOO_LARGE)
    return text


async def _send(socket: WebSocket, text: str, *, packed: bool = False) -> None:
    said = {"bytes": _packed(text)} if packed and len(text) >= PACK_FROM else {"text": text}
    await socket.send({"type": "websocket.send", **said})


@lru_cache(maxsize=32)
def _packed(text: str) -> bytes:
    """Raw deflate: a third of a QR's text. The sockets of a session are sent the same text, which is packed once;
    compression by the websocket itself would keep a window for each. Level 9 takes five times as long for 2 % less."""
    packer = zlib.compressobj(level=6, wbits=-zlib.MAX_WBITS)
    return packer.compress(text.encode()) + packer.flush()
