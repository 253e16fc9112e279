"""The file of a backup, as somebody makes it who knows the public half of BACKUP_KEY: nothing is written but in its folder."""

import gzip
import io
import json
import tarfile
from pathlib import Path

import pyrage
import pytest

from workers.moving import archive
from workers.moving.archive import BackupKey, unpack
from workers.moving.baileys import NotImportable

IDENTITY = pyrage.x25519.Identity.generate()
KEY = BackupKey.read(str(IDENTITY))
LIST = {"version": 1, "made_at": 1, "store": "sqlite", "library": "x", "devices": [], "receivers": {}}


def packed(parts, told=LIST):
    """A tar of these parts, and the list behind them."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for info in parts:
            info.size = info.size or (4 if info.isreg() else 0)
            tar.addfile(info, io.BytesIO(b"evil" * (info.size // 4 + 1)))
        body = told if isinstance(told, bytes) else json.dumps(told).encode()
        tar_info = tarfile.TarInfo("backup.json")
        tar_info.size = len(body)
        tar.addfile(tar_info, io.BytesIO(body))
    return gzip.compress(out.getvalue(), 1)


def part(name, kind=tarfile.REGTYPE, leads_to="/etc/passwd"):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, leads_to if kind in {tarfile.SYMTYPE, tarfile.LNKTYPE} else ""
    return info


def opened(tmp_path, clear):
    """What comes of it; whatever was written lies in its folder."""
    folder = tmp_path / "own"
    folder.mkdir()
    (tmp_path / "file.age").write_bytes(pyrage.encrypt(clear, [IDENTITY.to_public()]))
    try:
        return unpack(tmp_path / "file.age", KEY, folder)
    finally:
        written = {one for one in tmp_path.rglob("*") if one.is_file()} - {tmp_path / "file.age"}
        assert {one.parent for one in written} <= {folder}
        assert [one for one in written if one.is_symlink() or one.stat().st_mode & 0o077] == []
        assert folder / "backup.tar.gz" not in written


STRANGE = [
    *(
        "../evil",
        "/etc/cron.d/evil",
        "devices/../../evil.sqlite3",
        "devices/a/b.sqlite3",
        "devices/.sqlite3",
        "evil",
        "",
    ),
    *(
        "devices/-a.sqlite3",
        "devices/a\n.sqlite3",
        "devices/..sqlite3",
        "devices/a\x00b.sqlite3",
        "./backup.json",
        "0.part",
    ),
]


@pytest.mark.parametrize("name", STRANGE)
def test_a_part_with_another_name_is_refused(tmp_path, name):
    with pytest.raises(NotImportable, match="backup"):
        opened(tmp_path, packed([part(name)]))


KINDS = [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE]


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_that_is_no_file_is_refused(tmp_path, kind):
    with pytest.raises(NotImportable, match="backup"):
        opened(tmp_path, packed([part("devices/a.sqlite3", kind)]))


def test_a_part_that_is_too_large_is_refused_before_it_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "_MOST_DEVICE", 100)
    large = part("devices/a.sqlite3")
    large.size = 101
    with pytest.raises(NotImportable, match="strange"):
        opened(tmp_path, packed([large]))


@pytest.mark.parametrize(
    "told",
    [
        *(b"", b"[]", b"null", b"{", b"[" * 100_000, b"\xff", b"9" * 5000),
        *(LIST | {"version": 2}, LIST | {"devices": [{}]}, LIST | {"devices": 5}, LIST | {"made_at": "soon"}),
    ],
    ids=repr,
)
def test_a_list_that_is_none_is_refused_in_a_sentence(tmp_path, told):
    says = "another version" if isinstance(told, dict) and told["version"] == 2 else "damaged"
    with pytest.raises(NotImportable, match=says):
        opened(tmp_path, packed([], told))


@pytest.mark.parametrize("clear", [b"", b"rubbish", packed([])[:60], gzip.compress(b"rubbish" * 300)], ids=len)
def test_what_is_no_archive_is_refused_in_a_sentence(tmp_path, clear):
    with pytest.raises(NotImportable, match="backup"):
        opened(tmp_path, clear)


def test_an_archive_that_is_one_is_opened(tmp_path):
    told, files = opened(tmp_path, packed([part("devices/aurora.sqlite3")]))
    assert (told.store, {name: Path(one).read_bytes() for name, one in files.items()}) == (
        "sqlite",
        {"aurora": b"evil"},
    )
