"""The one place in the library that holds the web version."""

import struct

import pytest

from workers.engine.library import (
    LibraryFile,
    VersionNotFound,
    copy_with,
    find_installed,
    newest_copy,
    read_library,
)

AMD64, AARCH64 = 62, 183
OURS = (2, 3000, 1_047_769_893)


def elf(*places, machine=AMD64, writable=True, extra=b""):
    """A file laid out as the library: a head, two segments (code, data), and words at multiples of four in the data."""
    data = bytearray(4096)
    for at, words in places:
        struct.pack_into(f"<{len(words)}I", data, at, *words)
    head = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHI", 3, machine, 1)
    head += struct.pack("<QQQIHHHHHH", 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    code = struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, 4096, 4096, 4096)
    other = struct.pack("<IIQQQQQQ", 1, 6 if writable else 4, 4096, 4096, 4096, 4096, 8192, 4096)
    return (head + code + other).ljust(4096, b"\0") + bytes(data) + extra


@pytest.fixture
def written(tmp_path):
    def write(data, name="neonize-linux-amd64.so"):
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return write


def test_the_installed_library_holds_its_version_once_and_says_its_day():
    """Red after an upgrade of neonize that moves the version: until it is mended, the service uses the library as it is."""
    library = read_library(find_installed())
    assert library.revision >= OURS[2]
    assert library.born is not None


@pytest.mark.parametrize("machine", [AMD64, AARCH64])
def test_the_version_is_found_on_either_machine(written, machine):
    info = b"\x00mod\tgo.mau.fi/whatsmeow\tv0.0.0-20260921121126-35ae40906e74\th1:x"
    library = read_library(written(elf((64, OURS), machine=machine, extra=info)))
    assert (library.at, library.revision) == (4096 + 64 + 8, OURS[2])
    assert library.born == 1_789_948_800_000


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"MZ" + bytes(100),
        b"\x7fELF\x01\x01" + bytes(100),
        b"\x7fELF\x02\x01" + b"\xff" * 100,
        elf(),
        elf((64, OURS), (128, OURS)),
        elf((64, OURS), writable=False),
        elf((64, (2, 3000, 17))),
        elf((4084, (2, 3000))),
    ],
    ids=["empty", "windows", "32 bit", "broken table", "none", "two", "read-only", "no revision", "cut off"],
)
def test_a_library_that_holds_it_otherwise_is_left_alone(written, data):
    with pytest.raises(VersionNotFound):
        read_library(written(data))


def test_a_copy_claims_another_revision_and_is_the_same_otherwise(written, tmp_path):
    library = read_library(written(elf((64, OURS))))
    copy = copy_with(library, 1_050_000_000, tmp_path / "engine")
    assert copy.name == library.path.name
    assert read_library(copy) == LibraryFile(copy, library.at, 1_050_000_000, library.born)
    genuine, changed = library.path.read_bytes(), copy.read_bytes()
    assert changed == genuine[: library.at] + struct.pack("<I", 1_050_000_000) + genuine[library.at + 4 :]
    assert copy_with(library, 1_050_000_000, tmp_path / "engine") == copy
    assert newest_copy(library, tmp_path / "engine") == 1_050_000_000
    assert [one.name for one in copy.parent.iterdir()] == [copy.name]


def test_a_spoiled_copy_is_thrown_away_and_made_anew(written, tmp_path):
    library = read_library(written(elf((64, OURS))))
    copy = copy_with(library, 1_050_000_000, tmp_path)
    copy.chmod(0o700)
    copy.write_bytes(copy.read_bytes()[:-1])
    with pytest.raises(VersionNotFound):
        copy_with(library, 1_050_000_000, tmp_path)
    assert copy_with(library, 1_050_000_000, tmp_path) == copy


@pytest.mark.parametrize("revision", [OURS[2], OURS[2] - 1, 2_000_000_000])
def test_no_copy_claims_what_is_not_newer_or_impossible(written, tmp_path, revision):
    library = read_library(written(elf((64, OURS))))
    with pytest.raises(VersionNotFound):
        copy_with(library, revision, tmp_path / "engine")
    assert newest_copy(library, tmp_path / "engine") == 0
