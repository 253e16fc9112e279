"""The word lists of the binary XML, read out of the client library that is installed.

WhatsApp's binary XML replaces frequent strings by one or two bytes. Both sides must hold the same lists. The client library
holds them as two Go arrays of strings; we read them from its file (without loading it), so nothing is copied and the lists
always fit the library.

Shape in the file (64 bit Go): a string is `(address, length)`; the first list is one array of 236 strings whose entry 0 is
empty; the second is an array of four slices `(address, length, capacity)` of 256 strings each. The addresses are filled in by
relocations (`.rela.dyn`), so an address is looked up by the relocation at its place.
"""

from __future__ import annotations

import importlib.util
import struct
from dataclasses import dataclass
from functools import cache
from pathlib import Path

SINGLE_WORDS = 236
"""Bytes 1..235 stand for a word, 236 begins the two-byte words (whatsmeow binary/token)."""
DICTIONARIES = 4
_RELATIVE = {62: 8, 183: 1027}
"""ELF machine -> the relocation type that means "base + addend" (x86-64, aarch64)."""
_SINGLE_ANCHOR = (b"xmlstreamstart", b"xmlstreamend", b"s.whatsapp.net")
_DOUBLE_ANCHOR = (b"read-self", b"active", b"fbns")


class WordsNotFound(RuntimeError):
    """The library does not hold the word lists in the expected shape."""


@dataclass(frozen=True, slots=True)
class Words:
    """Both lists and their reverse: `single[byte]`, `double[dictionary][byte]`, `codes[word]` -> the bytes that stand for it."""

    single: tuple[str, ...]
    double: tuple[tuple[str, ...], ...]
    codes: dict[str, bytes]


class _Library:
    """The parts of an ELF file that are needed to follow Go's pointers."""

    def __init__(self, data: bytes) -> None:
        if data[:6] != b"\x7fELF\x02\x01":
            raise WordsNotFound("the client library is not a 64 bit little-endian ELF file")
        self.data = data
        machine = struct.unpack_from("<H", data, 18)[0]
        relative = _RELATIVE.get(machine)
        if relative is None:
            raise WordsNotFound(f"unknown machine {machine} in the client library")
        section_table = struct.unpack_from("<Q", data, 40)[0]
        entry_size, count = struct.unpack_from("<HH", data, 58)
        # (type, address, file offset, size) of every section
        headers = [struct.unpack_from("<4xI8xQQQ", data, section_table + i * entry_size) for i in range(count)]
        # program bits (1) that lie in memory: address -> file offset
        self.sections: list[tuple[int, int, int]] = [
            (address, offset, size) for kind, address, offset, size in headers if kind == 1 and address
        ]
        self.pointers: dict[int, int] = {}
        for kind, _, offset, size in headers:
            if kind == 4:  # RELA
                for place, info, addend in struct.iter_unpack("<QQq", data[offset : offset + size - size % 24]):
                    if info == relative:
                        self.pointers[place] = addend

    def offset(self, address: int) -> int:
        """Place in the file of the byte at `address`."""
        for start, offset, size in self.sections:
            if start <= address < start + size:
                return offset + address - start
        raise WordsNotFound(f"address {address:#x} is in no section")

    def string(self, place: int) -> bytes:
        """The Go string whose header lies at address `place`; empty when it has no pointer."""
        pointer = self.pointers.get(place)
        if pointer is None:
            return b""
        length: int = struct.unpack_from("<Q", self.data, self.offset(place) + 8)[0]
        start = self.offset(pointer)
        return self.data[start : start + length]

    def find_array(self, anchor: tuple[bytes, ...], skipped: int = 0) -> int:
        """The address of the array that holds the words of `anchor` in a row, after `skipped` entries."""
        addresses: set[int] = set()
        at = self.data.find(anchor[0])
        while at >= 0:
            addresses.update(
                start + at - offset for start, offset, size in self.sections if offset <= at < offset + size
            )
            at = self.data.find(anchor[0], at + 1)
        for place, pointer in self.pointers.items():
            if pointer in addresses and all(self.string(place + 16 * i) == word for i, word in enumerate(anchor)):
                return place - 16 * skipped
        raise WordsNotFound(f"no array of strings beginning with {anchor[0].decode()} in the client library")


def library_path() -> Path:
    """Path of neonize's shared library, found without importing it.

    Raises WordsNotFound if neonize is not installed.
    """
    spec = importlib.util.find_spec("neonize")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for path in sorted(Path(folder).glob("neonize-*.so")):
            return path
    raise WordsNotFound("neonize with its shared library is not installed in this Python")


@cache
def load_words(path: Path | None = None) -> Words:
    """Both lists from the library at `path`, or from the installed one. Takes about 0.1 s, done once."""
    library = _Library((path or library_path()).read_bytes())
    first = library.find_array(_SINGLE_ANCHOR, skipped=1)
    single = tuple(library.string(first + 16 * i).decode() for i in range(SINGLE_WORDS))
    double_start = library.find_array(_DOUBLE_ANCHOR)
    slices = next((place for place, pointer in library.pointers.items() if pointer == double_start), None)
    if slices is None:
        raise WordsNotFound("the four lists of two-byte words are not where they should be")
    double = []
    for i in range(DICTIONARIES):
        length = struct.unpack_from("<Q", library.data, library.offset(slices + 24 * i) + 8)[0]
        start = library.pointers[slices + 24 * i]
        double.append(tuple(library.string(start + 16 * j).decode() for j in range(length)))
    codes = {word: bytes([236 + d, i]) for d, words in enumerate(double) for i, word in enumerate(words)}
    codes |= {word: bytes([i]) for i, word in enumerate(single) if word}
    return Words(single, tuple(double), codes)
