"""The kernel's ways to hold a process that has no privileges: Landlock (files, ports, signals) and seccomp (calls), by ctypes.

Both only take away, for good, and for whatever the process starts. Numbers and layouts are those of linux/landlock.h,
linux/seccomp.h and linux/filter.h.
"""

import ctypes
import errno
import os
import platform
import stat
import struct
from collections.abc import Iterable
from contextlib import suppress

_libc = ctypes.CDLL(None, use_errno=True)
_PR_SET_NO_NEW_PRIVS = 38
_CAPABILITIES, _DAC_OVERRIDE = 0x20080522, 1 << 1

# Landlock: rights by the version of the interface that brought them.
_EXECUTE, _WRITE, _READ, _LIST = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_TRUNCATE = 1 << 14
_FILE_RIGHTS = {1: (1 << 13) - 1, 2: 1 << 13, 3: _TRUNCATE, 5: 1 << 15}
_BIND_TCP, _CONNECT_TCP = 1 << 0, 1 << 1
_ABSTRACT_SOCKETS, _SIGNALS = 1 << 0, 1 << 1
_OF_A_FILE = _EXECUTE | _WRITE | _READ | _TRUNCATE | 1 << 15
_CREATE, _ADD, _RESTRICT = 444, 445, 446
_BENEATH, _PORT = 1, 2

# seccomp: what is refused, as (x86_64, aarch64); None where an architecture does not have it.
_REFUSED: dict[str, tuple[int | None, int | None]] = {
    "bind": (49, 200), "listen": (50, 201), "accept": (43, 202), "accept4": (288, 242), "execve": (59, 221),
    "execveat": (322, 281), "fork": (57, None), "vfork": (58, None), "ptrace": (101, 117),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "pidfd_getfd": (438, 438), "kcmp": (312, 272),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "bpf": (321, 280),
    "perf_event_open": (298, 241), "userfaultfd": (323, 282), "add_key": (248, 217), "request_key": (249, 218),
    "keyctl": (250, 219), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430), "fsmount": (432, 432), "setns": (308, 268),
    "unshare": (272, 97), "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106),
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "open_by_handle_at": (304, 265), "reboot": (169, 142),
    "swapon": (167, 224), "iopl": (172, None), "ioperm": (173, None),
}  # fmt: skip
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_CLONE, _SOCKET, _SECCOMP = (56, 220), (41, 198), (317, 277)
_SENDS = {"sendto": ((44, 206), 3), "sendmsg": ((46, 211), 2), "sendmmsg": ((307, 269), 3)}
"""Calls that send, and which of their arguments has the flags."""
_CLONE3, _CLONE_THREAD, _FAST_OPEN = 435, 0x10000, 0x20000000
_UNIX, _FAMILIES = 1, (2, 10, 16)
"""IPv4, IPv6, and netlink, by which addresses are looked up. Behind Unix sockets there are servers that start programs."""
_PROTOCOLS = (0, 6, 17)
"""The usual one, TCP and UDP: Landlock holds no other to its ports."""
_X32 = 0x40000000
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_REFUSE = _ERRNO | errno.EPERM
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_SET_FILTER, _ALL_THREADS = 1, 1


class NotHeld(OSError):
    """The kernel does not hold a process in this way; the text says why."""


def no_new_privileges() -> None:
    """No program that this process starts has more rights than it. Raises `NotHeld`."""
    if _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise NotHeld(ctypes.get_errno(), "no_new_privs")


def drop_capabilities() -> None:
    """Keep of root's powers only that over files of other users. Others have none to lose. Raises `NotHeld`."""
    head = struct.pack("=Ii", _CAPABILITIES, 0)
    now = ctypes.create_string_buffer(24)
    if _libc.capget(head, now) != 0:
        raise NotHeld(ctypes.get_errno(), "capget")
    low, high = struct.unpack("=III", now.raw[:12]), struct.unpack("=III", now.raw[12:])
    kept = low[1] & _DAC_OVERRIDE
    if (low[1], high[1]) != (kept, 0) and _libc.capset(head, struct.pack("=IIIIII", kept, kept, 0, 0, 0, 0)) != 0:
        raise NotHeld(ctypes.get_errno(), "capset")


def landlock(reads: Iterable[str], writes: Iterable[str], dial: Iterable[int] | None = None) -> int:
    """Hold this thread, and all that it starts, to files below `reads` and `writes`, and to the TCP ports that it may `dial`;
    None for all. Returns the version of Landlock. Raises `NotHeld`.

    Files that are open stay so. A held process can neither read the memory and the environment of a process outside nor,
    from version 6 on, signal one.
    """
    version = _libc.syscall(_CREATE, None, ctypes.c_size_t(0), 1)
    if version < 1:
        raise NotHeld(ctypes.get_errno(), "this kernel has no Landlock")
    rights = sum(right for since, right in _FILE_RIGHTS.items() if since <= version)
    ports = (_BIND_TCP | (0 if dial is None else _CONNECT_TCP)) if version >= 4 else 0
    scopes = _ABSTRACT_SOCKETS | _SIGNALS if version >= 6 else 0
    asked = struct.pack("=QQQ", rights, ports, scopes)[: 8 if version < 4 else 16 if version < 6 else 24]
    ruleset = _libc.syscall(_CREATE, asked, ctypes.c_size_t(len(asked)), 0)
    if ruleset < 0:
        raise NotHeld(ctypes.get_errno(), "Landlock makes no rules")
    try:
        for path in reads:
            _allow(ruleset, path, rights & (_READ | _LIST | _EXECUTE))
        for path in writes:
            _allow(ruleset, path, rights & ~_EXECUTE)
        for port in (dial or ()) if ports else ():
            rule = struct.pack("=QQ", _CONNECT_TCP, port)
            if _libc.syscall(_ADD, ruleset, _PORT, rule, 0) != 0:
                raise NotHeld(ctypes.get_errno(), "Landlock takes no port")
        no_new_privileges()
        if _libc.syscall(_RESTRICT, ruleset, 0) != 0:
            raise NotHeld(ctypes.get_errno(), "Landlock does not hold")
    finally:
        os.close(ruleset)
    return int(version)


def _allow(ruleset: int, path: str, rights: int) -> None:
    """Rights below a path; nothing for one that is not there."""
    with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
                rights &= _OF_A_FILE
            rule = struct.pack("=Qi", rights, descriptor)
            if _libc.syscall(_ADD, ruleset, _BENEATH, rule, 0) != 0:
                raise NotHeld(ctypes.get_errno(), f"Landlock takes no {path}")
        finally:
            os.close(descriptor)


def seccomp(*, unix: bool = False) -> None:
    """Refuse in every thread, from now on: to listen, to start another program or process, to look into another, and to go
    round what holds this one. `unix`: Unix sockets may be made. Raises `NotHeld`."""
    machine = _MACHINES.get(platform.machine())
    if machine is None:
        raise NotHeld(errno.ENOSYS, f"no table of calls for {platform.machine()}")
    program = _program(*machine, families=(*_FAMILIES, _UNIX) if unix else _FAMILIES)
    code = ctypes.create_string_buffer(program, len(program))
    asked = struct.pack("=HxxxxxxQ", len(program) // 8, ctypes.addressof(code))
    no_new_privileges()
    if _libc.syscall(_SECCOMP[machine[0]], _SET_FILTER, _ALL_THREADS, asked) != 0:
        raise NotHeld(ctypes.get_errno(), "seccomp does not hold")


Step = tuple[int, int, int, int]


def _one_of(argument: int, values: tuple[int, ...]) -> list[Step]:
    """Steps of the filter that refuse a call unless the lower half of its argument is one of these."""
    equal = [(_EQUAL, len(values) - index, 0, value) for index, value in enumerate(values)]
    return [(_LOAD, 0, 0, 16 + 8 * argument), *equal, (_RETURN, 0, 0, _REFUSE)]


def _program(column: int, architecture: int, families: tuple[int, ...] = _FAMILIES) -> bytes:
    """The filter, in the kernel's machine code. A call has its number at 0, its architecture at 4, its arguments at 16."""
    allow, refuse = (_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _REFUSE)
    steps: list[Step] = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, architecture), refuse, (_LOAD, 0, 0, 0)]
    if column == 0:  # the other way to number the calls of x86_64
        steps += [(_AT_LEAST, 0, 1, _X32), refuse]
    for numbers in _REFUSED.values():
        if (number := numbers[column]) is not None:
            steps += [(_EQUAL, 0, 1, number), refuse]
    # Its flags lie in memory, where a filter cannot look: libc then falls back to the older call.
    steps += [(_EQUAL, 0, 1, _CLONE3), (_RETURN, 0, 0, _ERRNO | errno.ENOSYS)]
    parts = {
        _CLONE[column]: [(_LOAD, 0, 0, 16), (_ANY_BIT, 1, 0, _CLONE_THREAD), refuse, allow],
        _SOCKET[column]: [*_one_of(0, families), *_one_of(2, _PROTOCOLS), allow],
    }
    for numbers, flags in _SENDS.values():  # to connect by sending goes round Landlock
        parts[numbers[column]] = [(_LOAD, 0, 0, 16 + 8 * flags), (_ANY_BIT, 0, 1, _FAST_OPEN), refuse, allow]
    for number, part in parts.items():
        steps += [(_EQUAL, 0, len(part), number), *part]
    return b"".join(struct.pack("=HBBI", *step) for step in (*steps, allow))
