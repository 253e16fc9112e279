"""The filter of calls, played step by step for x86_64 and aarch64, and its numbers against those of the kernel's headers.

Only the filter of the machine that runs the tests is ever loaded; this is what holds the other one."""

import errno
import platform
import re
import struct
from pathlib import Path

import pytest

from tests.each import each
from workers.engine.child import kernel

MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
HEADERS = {
    "x86_64": ("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "/usr/include/asm/unistd_64.h"),
    "aarch64": ("/usr/include/asm-generic/unistd.h",),
}
ALLOW, REFUSE, UNKNOWN = 0x7FFF0000, 0x00050000 | errno.EPERM, 0x00050000 | errno.ENOSYS
I386, X32 = 0x40000003, 0x40000000
NAMES = [*kernel._REFUSED, "clone", "clone3", "socket", "seccomp", *kernel._SENDS]
FAST_OPEN, THREAD = 0x20000000, 0x10000


def numbers(machine):
    """Names of calls and their numbers, as the kernel's headers have them."""
    path = next((Path(one) for one in HEADERS[machine] if Path(one).exists()), None)
    if path is None:
        pytest.skip("NO HEADERS of the kernel on this machine (linux-libc-dev)")
    found = re.findall(r"^#define __NR(?:3264)?_(\w+)\s+(\d+)$", path.read_text(), re.MULTILINE)
    return {name: int(number) for name, number in found}


def ours(machine):
    """The same of our table."""
    column = MACHINES[machine][0]
    pairs = kernel._REFUSED | {"clone": kernel._CLONE, "socket": kernel._SOCKET, "seccomp": kernel._SECCOMP}
    pairs |= {name: both for name, (both, _) in kernel._SENDS.items()} | {"clone3": (kernel._CLONE3,) * 2}
    return {name: both[column] for name, both in pairs.items() if both[column] is not None}


def play(program, number, arguments=(), architecture=None):
    """The filter's word on a call, as the kernel's own interpreter finds it."""
    seen = struct.pack("=IIQ6Q", number, architecture, 0, *[*arguments, *[0] * 6][:6])
    steps = [struct.unpack("=HBBI", program[at : at + 8]) for at in range(0, len(program), 8)]
    at, value = 0, 0
    while True:
        code, yes, no, operand = steps[at]
        at += 1
        match code:
            case 0x20:  # load a word
                (value,) = struct.unpack_from("=I", seen, operand)
            case 0x15:  # equal
                at += yes if value == operand else no
            case 0x35:  # at least
                at += yes if value >= operand else no
            case 0x45:  # any bit
                at += yes if value & operand else no
            case 0x06:
                return operand
            case _:
                raise AssertionError(f"{code:#x} is no step of a filter")


@pytest.fixture(params=MACHINES)
def machine(request):
    return request.param


@pytest.fixture
def asked(machine):
    """Asks the filter of one machine about a call by its name."""
    column, architecture = MACHINES[machine]
    program = kernel._program(column, architecture)

    def ask(call, *arguments):
        number = ours(machine)[call] if isinstance(call, str) else call
        return play(program, number, arguments, architecture)

    return ask


def test_each_number_is_the_kernels(machine):
    there = numbers(machine)
    assert {name: there.get(name) for name in ours(machine)} == ours(machine)


def test_what_one_machine_lacks_is_really_not_there(machine):
    missing = set(NAMES) - set(ours(machine))
    assert not missing & set(numbers(machine)), missing


def test_every_listed_call_is_refused_and_no_other(machine, asked):
    listed = {ours(machine)[name] for name in kernel._REFUSED if name in ours(machine)}
    special = {ours(machine)[name] for name in ("clone", "clone3", "socket", *kernel._SENDS)}
    refused = {number for number in range(512) if asked(number) == REFUSE}
    assert refused - special == listed
    assert {number for number in range(512) if asked(number) not in {REFUSE, ALLOW}} == {ours(machine)["clone3"]}


def test_a_thread_may_be_made_and_a_process_not(asked):
    assert asked("clone", THREAD | 0x3D0F00) == ALLOW
    assert asked("clone", 17) == REFUSE
    assert asked("clone", THREAD << 32) == REFUSE, "only the lower half counts"
    assert asked("clone3") == UNKNOWN


@each(
    ("family", "protocol", "word"),
    [
        (2, 0, ALLOW),
        (2, 6, ALLOW),
        (10, 17, ALLOW),
        (16, 0, ALLOW),
        (1 << 32 | 2, 0, ALLOW),  # the kernel takes an int
        (1, 0, REFUSE),
        (2, 262, REFUSE),
        (2, 132, REFUSE),
        (16, 15, REFUSE),
        (17, 0, REFUSE),
        (38, 0, REFUSE),
        (40, 0, REFUSE),
        (0, 0, REFUSE),
    ],
)
def test_sockets_are_of_the_internet(asked, family, protocol, word):
    assert asked("socket", family, 1, protocol) == word


def test_a_holder_with_postgres_may_use_a_unix_socket(machine):
    column, architecture = MACHINES[machine]
    program = kernel._program(column, architecture, (*kernel._FAMILIES, kernel._UNIX))
    assert play(program, ours(machine)["socket"], (1, 1, 0), architecture) == ALLOW
    assert play(program, ours(machine)["socket"], (17, 3, 0), architecture) == REFUSE


@each(("call", "place"), [("sendto", 3), ("sendmsg", 2), ("sendmmsg", 3)])
def test_nobody_connects_by_sending(asked, call, place):
    arguments = [0] * 6
    assert asked(call, *arguments) == ALLOW
    arguments[place] = FAST_OPEN | 0x4000
    assert asked(call, *arguments) == REFUSE


@each("other", [I386, 0xC00000B7 ^ 0xC000003E, 0, 0x40000028])
def test_calls_of_another_architecture_are_refused(machine, other):
    column, architecture = MACHINES[machine]
    for number in (0, 1, 39, 172):
        assert play(kernel._program(column, architecture), number, (), other) == REFUSE


def test_the_second_way_to_number_the_calls_of_x86_64_is_refused():
    program = kernel._program(*MACHINES["x86_64"])
    assert play(program, X32 | 1, (), MACHINES["x86_64"][1]) == REFUSE
    assert play(program, 1, (), MACHINES["x86_64"][1]) == ALLOW


def test_the_program_is_well_formed(machine):
    """As the kernel checks it: forward jumps that stay inside, a return at the end, 4,096 steps at most."""
    program = kernel._program(*MACHINES[machine])
    steps = [struct.unpack("=HBBI", program[at : at + 8]) for at in range(0, len(program), 8)]
    assert len(steps) <= 4096
    assert steps[-1][0] == 0x06
    assert all(at + 1 + max(yes, no) < len(steps) for at, (_, yes, no, _) in enumerate(steps[:-1]))
    assert all(code != 0x20 or (operand % 4 == 0 and operand < 64) for code, _, _, operand in steps)


def test_a_machine_without_a_table_is_told(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(kernel.NotHeld):
        kernel.seccomp()
