"""The file of the WhatsApp library: the web version that it claims, and a copy that claims another one.

The library holds its version once, in its writable data, as three 32-bit words: 2, 3000 and the revision. The payload of
each login, and its hash in each registration, follow from them. So a copy of the file with another revision is a library
of that version. Measured over eleven releases for amd64 and three for aarch64.
"""

import datetime
import hashlib
import importlib.util
import mmap
import os
import re
import struct
import tempfile
from pathlib import Path

from shared.core.datum import Datum

_MARK = re.escape(struct.pack("<II", 2, 3000))
_LEAST, _MOST = 1_010_000_000, 1_999_999_999
_BUILT_FROM = re.compile(rb"go\.mau\.fi/whatsmeow\tv0\.0\.0-(\d{8})\d{6}-")
_LOADED, _WRITABLE = 1, 2


class VersionNotFound(Exception):
    """The library does not hold its version in the way that we know, so it is left as it is. The text says why."""


class LibraryFile(Datum):
    """The library: `revision` stands at the offset `at`; `born` is the day of its source (ms), None if it says none."""

    path: Path
    at: int
    revision: int
    born: int | None


def find_installed() -> Path:
    """The installed library's file, which is not loaded. Raises `VersionNotFound`."""
    spec = importlib.util.find_spec("neonize")
    folders = spec.submodule_search_locations if spec is not None else None
    found = sorted(path for folder in folders or () for path in Path(folder).glob("neonize-*.so"))
    if len(found) != 1:
        raise VersionNotFound(f"neonize has {len(found)} libraries for this system")
    return found[0]


def read_library(path: Path) -> LibraryFile:
    """The library at `path`. Raises `VersionNotFound` unless its version stands there exactly once, and OSError."""
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            raise VersionNotFound("the library is empty")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            try:
                found = _find_revisions(data)
            except (struct.error, OverflowError):
                raise VersionNotFound("the library's table of segments is broken") from None
            if len(found) != 1:
                raise VersionNotFound(f"the version stands {len(found)} times in the library")
            ((at, revision),) = found
            source = _BUILT_FROM.search(data)
            return LibraryFile(path, at, revision, _midnight(source[1].decode()) if source is not None else None)


def _find_revisions(data: mmap.mmap) -> list[tuple[int, int]]:
    if data[:6] != b"\x7fELF\x02\x01":
        raise VersionNotFound("the library is no 64 bit little-endian ELF file")
    (table,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    found = []
    for index in range(count):
        kind, flags, offset, _, _, length = struct.unpack_from("<IIQQQQ", data, table + index * size)
        if kind != _LOADED or not flags & _WRITABLE:
            continue
        for match in re.compile(_MARK).finditer(data, offset, min(offset + length, len(data) - 4)):
            (revision,) = struct.unpack_from("<I", data, match.end())
            if match.end() % 4 == 0 and _LEAST <= revision <= _MOST:
                found.append((match.end(), revision))
    return found


def _midnight(day: str) -> int | None:
    try:
        moment = datetime.datetime.strptime(day, "%Y%m%d").replace(tzinfo=datetime.UTC)
    except ValueError:
        return None
    return round(moment.timestamp() * 1000)


def copy_with(library: LibraryFile, revision: int, folder: Path) -> Path:
    """A copy of the library that claims `revision`, below `folder`; made once, and checked each time.

    The name of the file stays the library's. Raises `VersionNotFound` for an impossible revision or a copy that is not
    as it should be, and OSError.
    """
    if not library.revision < revision <= _MOST:
        raise VersionNotFound(f"{revision} is not newer than the library's own {library.revision}")
    wanted = bytearray(library.path.read_bytes())
    copy = folder / _name_of(wanted) / str(revision) / library.path.name
    wanted[library.at : library.at + 4] = struct.pack("<I", revision)
    if not copy.exists():
        copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(wanted, copy)
    if copy.read_bytes() != wanted:
        copy.unlink(missing_ok=True)
        raise VersionNotFound(f"the copy with {revision} is not what it should be")
    return copy


def _write(data: bytearray, path: Path) -> None:
    """The whole file or none, also after a crash of the machine."""
    handle, name = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o500)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def newest_copy(library: LibraryFile, folder: Path) -> int:
    """The newest revision that a copy of this very library below `folder` claims; 0 if there is no copy."""
    copies = (folder / _name_of(library.path.read_bytes())).glob(f"*/{library.path.name}")
    return max((int(one.parent.name) for one in copies if one.parent.name.isdigit()), default=0)


def _name_of(library: bytes | bytearray) -> str:
    return hashlib.sha256(library).hexdigest()[:16]
