"""The file of a backup: a tar of one device file for each company and a list of them, encrypted by age.

A holder of the key needs no program of ours to open it: `age -d -i key.txt FILE | tar -tz` (age-encryption.org).
"""

import io
import json
import os
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO

from pydantic.dataclasses import dataclass as checked
from pyrage import DecryptError, decrypt_io, encrypt_io, x25519

from shared.core.datum import Datum
from workers.moving.baileys import DAMAGE, NotImportable, refusing
from workers.moving.verdicts import is_company

VERSION = 1
_LIST, _FOLDER = "backup.json", "devices/"
_MOST_LIST, _MOST_DEVICE = 64 << 20, 256 << 20
_STRANGE = (*DAMAGE, OSError, EOFError, RecursionError, tarfile.TarError)
_SECRET = "AGE-SECRET-KEY-1"  # noqa: S105 - how such a key begins


@checked(frozen=True)
class KeptDevice:
    """One device of a backup, as the registry has it. Times in ms since the epoch."""

    company: str
    jid: str
    linked_at: int
    parked: str
    again_at: int
    told: int


@checked(frozen=True)
class BackupList:
    """The list of a backup's contents.

    `made_at`: in ms since the epoch. `receivers`: of companies' own webhooks, by company: url, secret, events.
    """

    version: int
    made_at: int
    store: str
    library: str
    devices: list[KeptDevice]
    receivers: dict[str, dict[str, str]]


class BackupKey(Datum):
    """BACKUP_KEY: a recipient (`age1…`), which can only make backups, or an identity (`AGE-SECRET-KEY-1…`)."""

    recipient: x25519.Recipient
    identity: x25519.Identity | None

    @classmethod
    def read(cls, text: str) -> "BackupKey":
        """Read a key. Raises NotImportable, whose text does not hold the key."""
        # The library's errors may name the text.
        with refusing("BACKUP_KEY is no key of age: make one with `onboarding key backup`", Exception):
            if text.upper().startswith(_SECRET):
                identity = x25519.Identity.from_str(text)
                return cls(identity.to_public(), identity)
            return cls(x25519.Recipient.from_str(text), None)


@contextmanager
def writing(target: Path, key: BackupKey) -> Iterator[tarfile.TarFile]:
    """Write the backup `target`, whole or not at all, and never in the clear: first its devices, then their list. Raises
    FileExistsError and OSError."""
    if target.exists():
        raise FileExistsError(target)
    part = target.with_name(f"{target.name}.part")
    part.unlink(missing_ok=True)
    reading, filling = os.pipe()

    def encrypt(out: IO[bytes]) -> None:
        with open(reading, "rb") as clear:
            encrypt_io(clear, out, [key.recipient])

    try:
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            with ThreadPoolExecutor(1) as pool:
                sealing = pool.submit(encrypt, out)
                with open(filling, "wb") as pipe, tarfile.open(mode="w|gz", fileobj=pipe) as tar:
                    yield tar
            if (fault := sealing.exception()) is not None:
                raise OSError(f"the backup could not be encrypted ({type(fault).__name__})")
            out.flush()
            os.fsync(out.fileno())
        part.rename(target)
    finally:
        part.unlink(missing_ok=True)


def add_device(tar: tarfile.TarFile, company: str, file: Path) -> None:
    with file.open("rb") as content:
        _add(tar, f"{_FOLDER}{company}.sqlite3", content)


def add_list(tar: tarfile.TarFile, told: BackupList) -> None:
    _add(tar, _LIST, io.BytesIO(json.dumps(asdict(told)).encode()))


def _add(tar: tarfile.TarFile, name: str, content: IO[bytes]) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = content.seek(0, os.SEEK_END), 0o600
    content.seek(0)
    tar.addfile(info, content)


def unpack(source: Path, key: BackupKey, folder: Path) -> tuple[BackupList, dict[str, Path]]:
    """Unpack a backup into `folder` (0700). Return its list, and its device files by company. Raises NotImportable."""
    if key.identity is None:
        raise NotImportable("BACKUP_KEY only makes backups; to open one it must be the AGE-SECRET-KEY-1… of the pair")
    clear = folder / "backup.tar.gz"
    try:
        with refusing("this is no backup, or it is damaged ({error})", *_STRANGE):
            with (
                refusing("BACKUP_KEY does not open this file, or it is damaged", DecryptError),
                source.open("rb") as sealed,
                open(os.open(clear, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as out,
            ):
                decrypt_io(sealed, out, [key.identity])
            with tarfile.open(clear, "r:gz") as tar:
                found = dict(_parts(tar, folder))
            return _list_in(found.pop(_LIST)), found
    finally:
        clear.unlink(missing_ok=True)


def _list_in(file: Path) -> BackupList:
    told = json.loads(file.read_bytes())
    if told.get("version") != VERSION:
        raise NotImportable("this backup was made by another version of the service")
    return BackupList(**told)


def _parts(tar: tarfile.TarFile, folder: Path) -> Iterator[tuple[str, Path]]:
    """Unpack the parts of a backup under names of our own: anybody who knows the recipient can make such a file."""
    for number, info in enumerate(tar):
        company = info.name.removeprefix(_FOLDER).removesuffix(".sqlite3")
        is_list = info.name == _LIST
        fits = is_list or (info.name == f"{_FOLDER}{company}.sqlite3" and is_company(company))
        content = tar.extractfile(info) if info.isreg() and fits else None
        if content is None or info.size > (_MOST_LIST if is_list else _MOST_DEVICE):
            raise NotImportable("this is no backup: it holds something strange")
        target = folder / f"{number}.part"
        with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            while piece := content.read(1 << 20):
                out.write(piece)
        yield (_LIST if is_list else company), target
