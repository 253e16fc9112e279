"""JSON lines over a unix socket: how the worker and its engine processes talk, the same code at both ends."""

import asyncio
import socket
from typing import Generic, TypeVar

from msgspec import DecodeError
from msgspec.json import Decoder, encode

from workers.engine.protocol import Line

T_co = TypeVar("T_co", covariant=True)

#: The longest line in bytes. A text message of 65,536 characters, all of them escaped, still fits.
LONGEST = 512 * 1024


class WrongMessage(Exception):
    """The other end sent something that is not in the protocol. The text names the error, never what was sent."""


class PipeClosed(Exception):
    """The other end is gone; nothing can be sent."""


class Pipe(Generic[T_co]):
    """One end of a pipe that receives messages of the union `T_co` and sends any `Line`.

    Nothing is queued here: an end that does not receive makes the other wait in `send`.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, incoming: Decoder[T_co]) -> None:
        self._reader = reader
        self._writer = writer
        self._incoming = incoming

    @classmethod
    async def open(cls, sock: socket.socket, incoming: Decoder[T_co]) -> "Pipe[T_co]":
        """Take over a connected stream socket."""
        reader, writer = await asyncio.open_unix_connection(sock=sock, limit=LONGEST)
        # 0 makes `drain` wait until the kernel has everything: engine processes leave by os._exit, without a flush.
        writer.transport.set_write_buffer_limits(high=0)
        return cls(reader, writer, incoming)

    async def send(self, message: Line) -> None:
        """Hand the message to the kernel. Raises `PipeClosed` if the other end is gone."""
        if self._writer.is_closing():
            raise PipeClosed
        try:
            self._writer.write(encode(message) + b"\n")
            await self._writer.drain()
        except OSError as error:
            raise PipeClosed from error

    async def receive(self) -> T_co | None:
        """The next message, or None when the other end is gone. May be cancelled without losing anything.

        Raises `WrongMessage`; the pipe is of no further use then.
        """
        try:
            line = await self._reader.readline()
        except OSError:
            return None
        except ValueError:
            raise WrongMessage(f"a line of more than {LONGEST} bytes") from None
        if not line.endswith(b"\n"):  # the end; what died in the middle of a line has said nothing
            return None
        try:
            return self._incoming.decode(line)
        except DecodeError as error:
            # From None, and only the place: the words before it may carry the input, and so a QR or a phone, into a log.
            _, named, place = str(error).rpartition(" - at ")
            raise WrongMessage(f"{type(error).__name__} at {place if named else 'the top'}") from None

    def close(self) -> None:
        """Close this end. Idempotent."""
        self._writer.close()
