"""Connections whose peers read or send as they like: our memory is not theirs to fill."""

import asyncio
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import State

UNREAD_MS = 30_000
"""If a peer acknowledges nothing for so long, the kernel ends the connection; if it has not read all that the kernel
had no room for, we do."""
MOST_QUEUED = 64
"""Messages or fragments of one socket that wait to be read, at most."""


class Answering(asyncio.Protocol):
    """A connection that ends if its peer reads too slowly, a little now and then: its place is for others."""

    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        transport.set_write_buffer_limits(0)  # the kernel's own buffer is enough
        super().connection_made(transport)
        sock = transport.get_extra_info("socket")
        if sock is not None and sys.platform == "linux":
            with suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_MS)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.loop.call_later(UNREAD_MS / 1000, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._all_read()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._all_read()

    def _all_read(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None


class EdgeSocket(Answering, WebSocketsSansIOProtocol):
    """A websocket whose peer cannot fill our memory, neither with unread messages nor by not reading ours."""

    def __init__(self, gone: Callable[[], None], **given: Any) -> None:
        """`gone` is called when the connection has ended."""
        super().__init__(**given)
        self._gone = gone

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._gone()

    def pause_writing(self) -> None:
        """Read no more from a peer that reads nothing: the answers to its pings would fill our memory."""
        super().pause_writing()
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.read_paused:
            self.transport.resume_reading()

    def handle_parser_exception(self) -> None:
        """Treat a peer that sends no websocket frames as gone, so that a later write to it is no bug."""
        super().handle_parser_exception()
        self.disconnected = True

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self.disconnected = True

    def handle_cont(self, event: Any) -> None:
        if len(self.frames) >= MOST_QUEUED:
            self._refuse(1008)
        else:
            super().handle_cont(event)

    def send_receive_event_to_app(self) -> None:
        if self.queue.qsize() >= MOST_QUEUED:
            self._refuse(1008)
        elif self.curr_msg_data_type == "text" and not _is_text(self.frames):
            self._refuse(1007)
        else:
            super().send_receive_event_to_app()

    def _refuse(self, code: int) -> None:
        """Close the socket with a code, unless its peer has closed it already."""
        self.frames = []
        if self.conn.state is State.OPEN:
            self.conn.fail(code)
            self.handle_parser_exception()


def _is_text(pieces: Sequence[bytes]) -> bool:
    try:
        b"".join(pieces).decode()
    except UnicodeDecodeError:
        return False
    return True
