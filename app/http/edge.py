"""The edge: limits of a connection before the application hears of it. uvicorn limits the sizes. This module limits
times and numbers, and words the refusals.
"""

import asyncio
import resource
from collections import Counter as Tally
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol
from uvicorn.server import ServerState

from app.http.antechamber import Antechamber
from app.http.frames import Answering, EdgeSocket
from app.http.heads import HEAD_BYTES, HeadReader
from app.http.problems import Kind, Problem
from shared.core.hosts import Network, address_in, neighbourhood
from shared.private import raise_descriptors

PATIENCE_SECONDS = 10.0
"""Until a request must be whole."""
UNFINISHED = 1000
"""Connections with an unfinished request, at most. Each may hold 100 KB."""
UNFINISHED_OF_ADDRESS = 50
OF_ADDRESS = 250
"""Connections of one address, at most. A router may have any number."""
OTHER_DESCRIPTORS = 100
"""For Redis, files and the like."""
_WRITTEN_OFF = {
    400: Kind(400, "", "This is not HTTP/1.1.", titled="Bad request"),
    408: Kind(408, "", f"A request must be whole within {PATIENCE_SECONDS:.0f} s.", titled="Too slow"),
    431: Kind(431, "", f"The request line and the headers may have {HEAD_BYTES} bytes.", titled="Header too large"),
}


class Doorkeeper:
    """Counts the connections of one process, and decides who may stay."""

    def __init__(self, most: int, routers: Sequence[Network]) -> None:
        """`most`: connections over all. `routers`: networks of proxies, behind each of which are many callers."""
        self.most = most
        self._routers = tuple(routers)
        self._of_address: Tally[str] = Tally()
        self.unfinished: Antechamber[EdgeRequests] = Antechamber(
            min(UNFINISHED, max(1, most // 2)), UNFINISHED_OF_ADDRESS, EdgeRequests.show_out
        )

    def address_of(self, host: str) -> str | None:
        """The address under which a connection counts; None for a router."""
        there = address_in(host)
        return None if there and any(there in network for network in self._routers) else neighbourhood(host)

    def may_enter(self, address: str | None, others: int) -> bool:
        """Count a new connection beside `others`. False if it exceeds a limit."""
        if address is not None:
            self._of_address[address] += 1
        return others < self.most and (address is None or self._of_address[address] <= OF_ADDRESS)

    def gone(self, address: str | None) -> None:
        if address is not None:
            self._of_address[address] -= 1
            if not self._of_address[address]:
                del self._of_address[address]


class EdgeRequests(Answering, H11Protocol):
    """A connection with requests: each must be whole in time, and connections with unfinished ones are few."""

    _address: str | None = None
    _patience: asyncio.TimerHandle | None = None
    _handed_over = False
    _answered = False

    def __init__(self, door: Doorkeeper, config: Config, server_state: ServerState, **more: Any) -> None:
        super().__init__(config, server_state, **more)
        self._door = door
        self.conn = HeadReader(h11.SERVER, HEAD_BYTES)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        others = len(self.connections)
        super().connection_made(transport)
        self._address = self._door.address_of(self.client[0] if self.client else "")
        if self._door.may_enter(self._address, others):
            self._watch()
        else:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._finished()
        self._door.gone(self._address)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self._handed_over:
            self._watch()

    def on_response_complete(self) -> None:
        self._answered = True
        super().on_response_complete()
        self._watch()

    def _watch(self) -> None:
        """Start or stop the clock of an unfinished request."""
        state = self.conn.their_state
        begun = not self._answered or bool(self.conn.trailing_data[0])
        if self.transport.is_closing() or not (state is h11.SEND_BODY or (state is h11.IDLE and begun)):
            self._finished()
        elif self._patience is None:
            self._door.unfinished.enter(self, self._address)
            self._patience = self.loop.call_later(PATIENCE_SECONDS, self.show_out)

    def _finished(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
            self._door.unfinished.leave(self)

    def show_out(self) -> None:
        """End a connection whose request does not come."""
        self._finished()
        if self.conn.our_state is h11.IDLE and self.conn.trailing_data[0]:
            self._refuse(408)
        if self.transport.get_write_buffer_size():
            self.transport.abort()  # it does not read either
        else:
            self.transport.close()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        self._handed_over = True
        self._finished()
        self._all_read()
        # No bound method of ours: a cycle would wait for a full collection, which web puts off.
        self.ws_protocol_class = partial(EdgeSocket, partial(self._door.gone, self._address))  # type: ignore[assignment]
        super().handle_websocket_upgrade(event)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's word
        """Answer with a problem of the fitting status, instead of uvicorn's text."""
        self._refuse(getattr(self.conn, "fault", 400))
        self.transport.close()

    def _refuse(self, status: int) -> None:
        answer = Problem(_WRITTEN_OFF.get(status, _WRITTEN_OFF[400])).response()
        headers = [*answer.raw_headers, (b"connection", b"close")]
        with suppress(h11.LocalProtocolError):  # a response is under way
            head = h11.Response(
                status_code=answer.status_code, headers=headers, reason=STATUS_PHRASES[answer.status_code]
            )
            for one in (head, h11.Data(data=bytes(answer.body)), h11.EndOfMessage()):
                self.transport.write(self.conn.send(one) or b"")


def networks_as_seen(networks: Sequence[Network]) -> list[str]:
    """The networks as uvicorn compares them with a peer's address, which on a listener for both families is IPv6."""
    mapped = (f"::ffff:{one.network_address}/{96 + one.prefixlen}" for one in networks if one.version == 4)
    return [*(str(one) for one in networks), *mapped]


def room_for(wanted: int) -> int:
    """As many connections as wanted, as far as the kernel lets this process have descriptors; raises its soft limit."""
    hard = raise_descriptors()
    return wanted if hard == resource.RLIM_INFINITY else max(1, min(wanted, hard - OTHER_DESCRIPTORS))
