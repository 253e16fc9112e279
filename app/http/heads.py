"""The head of a request: what others might read as two, or otherwise, is refused, and so is what is too large."""

import re
from typing import Any

import h11

HEAD_BYTES = 16 * 1024
"""Request line and headers, at most."""
ONCE = (b"authorization", b"origin", b"idempotency-key", b"if-none-match", b"last-event-id")
"""Headers that we read, and that a request may have once; h11 has its own list."""

_TWO_LINES = re.compile(rb"(?<!\r)\n|\n[ \t]")
"""Of a head: a line that ends without a return, and one that goes on in the next."""


class HeadReader(h11.Connection):
    """Remembers the status for a request that it could not read."""

    fault = 400

    def next_event(self) -> Any:
        if self.their_state is h11.IDLE and _TWO_LINES.search(self.trailing_data[0].partition(b"\r\n\r\n")[0]):
            raise h11.RemoteProtocolError("a line that others read as two, or as a part of one", 400)
        try:
            event = super().next_event()
            # h11 itself bounds only a head that comes in pieces.
            if isinstance(event, h11.Request):
                _check(event)
        except h11.RemoteProtocolError as error:
            self.fault = error.error_status_hint
            raise
        return event


def _check(request: h11.Request) -> None:
    names = [name for name, _ in request.headers]
    if {b"content-length", b"transfer-encoding"} <= set(names):
        raise h11.RemoteProtocolError("two lengths: a proxy before us may have taken the other", 400)
    if any(names.count(one) > 1 for one in ONCE):
        raise h11.RemoteProtocolError("said twice: a proxy before us may have read the other", 400)
    if len(request.target) + sum(len(name) + len(value) + 4 for name, value in request.headers) > HEAD_BYTES:
        raise h11.RemoteProtocolError("the head is too large", 431)
