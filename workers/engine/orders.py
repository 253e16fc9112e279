"""Messages between worker and zygote: JSON, one message a packet of a SOCK_SEQPACKET socket.

To the zygote: fork (with the child's end of its pipe as SCM_RIGHTS), kill, alive. From it: forked, died.
"""

from enum import StrEnum

from msgspec.json import Decoder

from shared.core.datum import Datum
from workers.engine.protocol import Line


class Role(StrEnum):
    """The role of a forked process."""

    LINKER = "linker"
    HOLDER = "holder"


class Options(Datum, forbid_unknown_fields=True):
    """Options of every engine process; it reads no environment of its own.

    `device_name` is what the phone shows under Linked devices; `proxy_url` (http:// or socks5://) is None for what
    HTTPS_PROXY says, which Go reads by itself. `library` is the file to load in place of the installed one. `linking` and
    `devices` are the folders that linkers and holders may write to; None does not hold them to any, which tests use.
    `reads`: files that the library reads besides, such as the certificate of the database. `awaited`: somebody waits for
    the process, which does not warm itself up.
    """

    device_name: str
    proxy_url: str | None = None
    library: str | None = None
    linking: tuple[str, ...] | None = None
    devices: tuple[str, ...] | None = None
    reads: tuple[str, ...] = ()
    awaited: bool = False


class Fork(Line):
    """Start a child; the packet carries its pipe. `key` is the worker's name for it, never used twice."""

    key: int
    role: Role
    options: Options


class Kill(Line):
    """SIGKILL the child `key`. Nothing happens if it is gone already: only the zygote reaps, so no pid is reused."""

    key: int


class Alive(Line):
    """The worker has just renewed its leases: the children may live on for `seconds`. Once said, it must be said again
    in time, or every child is killed: a worker that is stopped or wedged must not hold what others have taken over."""

    seconds: float


class Forked(Line):
    """The child `key` runs as `pid`."""

    key: int
    pid: int


class Exited(Datum):
    """The end of a process: its exit code, or the signal that killed it, and the first line of its panic.

    `panic` is scrubbed and at most 200 characters: Go's `panic: …` or `fatal error: …`; for an error of our own in the
    child (code 70) `fatal error: python <type> at <place>`.
    """

    code: int | None
    signal: int | None
    panic: str | None = None


class Died(Line):
    """The child `key` is gone and reaped."""

    key: int
    exited: Exited


to_zygote: Decoder[Fork | Kill | Alive] = Decoder(Fork | Kill | Alive)
from_zygote: Decoder[Forked | Died] = Decoder(Forked | Died)
#: No packet is longer, in bytes.
PACKET = 64 * 1024
#: How much garbage Go lets a heap gather, in percent of its live part (`GOGC`). Three digits, so that a linker can write its
#: own choice in the place: history, which holders read once and throw away, never comes to a linker, and with 400 (a heap of
#: 16 MB) it ends before Go collects for the first time. Go's own 100 collects twice during a dial.
GARBAGE, LINKERS_GARBAGE = "050", "400"
