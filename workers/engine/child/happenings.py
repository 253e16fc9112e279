"""Reports of a client of the library, in our types: `client.py` translates, the linker and the holder decide.

A report that the worker needs as it is has the type of the pipe. An unpaired client tells everything by words. `Ended`:
the library refused the phone's answer, or WhatsApp refused a paired device, with its own words as far as the library tells
them; nothing reconnects after it.
"""

from enum import Enum
from typing import Any

from shared.core.datum import Datum
from workers.engine.protocol import Ended, Paired, Receipt, Remark, Word


class ClientError(Exception):
    """A call into the library failed; the text is the library's own."""


class QrShown(Datum):
    """A QR text of the rotation. It carries the secret of the pairing."""

    text: str


class Pulse(Enum):
    """News of the connection."""

    LOGGED_IN = "logged-in"  # with the keys uploaded
    CUT = "cut"  # the connection is gone; the library tries again by itself
    SILENT = "silent"  # no answer to pings for some 30 s; after 3 minutes the library connects anew
    ANSWERING = "answering"  # to pings, again
    DEAF = "deaf"
    """The client is of no more use, and the device is well: connect it anew. Either a text got no answer in time, and the
    library sends no other meanwhile; or the library could not tell of something, and tells of nothing more."""


class ReceiverMissed(Datum):
    """A text left without its receiver. Told maybe after it has been acknowledged."""

    whatsapp_id: str


class Oddity(Datum):
    """Something has happened of which the library only tells its log. `detail`: which stream error it was."""

    remark: Remark
    detail: str = ""


class Receipted(Datum):
    """A receiver's phone has said something of texts. `at` in ms since the epoch."""

    receipt: Receipt
    whatsapp_ids: tuple[str, ...]
    at: int


class Mail(Datum):
    """A message has come in, as the library has it."""

    event: Any


class Over(Datum):
    """The client's thread has ended: it could not start, or broke, or was stopped (then `detail` is empty)."""

    detail: str


Happening = Pulse | Receipted | ReceiverMissed | Oddity | Mail | QrShown | Word | Paired | Ended | Over
