"""Texts that left without their receiver: the library found no keys of the phone, told its log, and sent the rest.

The log line is the only trace. It comes from a thread of its own, maybe after the text has been acknowledged.
"""

import asyncio
import logging
import re
from collections import OrderedDict
from collections.abc import Callable

#: A text's id, and the JID of a phone: an own device has a number behind a colon.
_LINE = re.compile(r"Failed to encrypt (\S+) for (\d+)@(?:lid|s\.whatsapp\.net):")
MOST = 2000


class Unsealed(logging.Handler):
    """Hears the library's log, and tells whoever has sent the text."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(logging.WARNING)
        self._loop = loop
        self._found: OrderedDict[str, None] = OrderedDict()
        self._senders: OrderedDict[str, Callable[[str], None]] = OrderedDict()

    def emit(self, record: logging.LogRecord) -> None:
        """Called in the thread of the library's log."""
        found = _LINE.search(record.getMessage())
        if found is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._hear, found[1])

    def _hear(self, whatsapp_id: str) -> None:
        sender = self._senders.pop(whatsapp_id, None)
        if sender is not None:
            sender(whatsapp_id)
        else:
            self._found[whatsapp_id] = None
            _trim(self._found)

    def sent(self, whatsapp_id: str, tell: Callable[[str], None]) -> None:
        """A text was acknowledged. `tell` is called if its receiver was left out, now or later."""
        if whatsapp_id in self._found:
            del self._found[whatsapp_id]
            tell(whatsapp_id)
        else:
            self._senders[whatsapp_id] = tell
            _trim(self._senders)


def _trim(kept: "OrderedDict[str, None] | OrderedDict[str, Callable[[str], None]]") -> None:
    if len(kept) > MOST:
        kept.popitem(last=False)
