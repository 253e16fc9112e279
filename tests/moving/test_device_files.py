"""Device files that the installed library makes, filled from rows, and read back out of whatsmeow databases old and new."""

import shutil
import sqlite3
from contextlib import closing

import pytest

from tests.unit.moving.made import Made
from workers.moving.baileys import BaileysSession, NotImportable
from workers.moving.files import Template, read_database, read_device_rows, write_device
from workers.moving.identity import read_device
from workers.moving.rows import rows_of
from workers.moving.sources import candidates

MADE = Made()
DEVICE = read_device(MADE.creds)
ROWS, _ = rows_of(BaileysSession("salon", MADE.creds, MADE.keys), DEVICE)


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    import asyncio

    made = Template(tmp_path_factory.mktemp("template"))
    asyncio.run(made.version())
    return made.file


def newest(template):
    async def version():
        return read_database(template).version if template else 15

    return version


@pytest.fixture
def device(template, tmp_path):
    write_device(template, ROWS, tmp_path / "device.sqlite3")
    return tmp_path / "device.sqlite3"


def comparable(rows):
    return {
        table: sorted(
            repr(sorted((k, int(v) if v is True else v) for k, v in row.items() if v not in (None, "", 0)))
            for row in some
        )
        for table, some in rows.items()
    }


def test_a_written_device_reads_back_as_it_was(device):
    back = read_device_rows(device, DEVICE.jid)
    assert comparable(back) == comparable(ROWS)
    assert device.stat().st_mode & 0o777 == 0o600


async def test_a_database_of_whatsmeow_is_a_source(device, template):
    (found,) = await candidates(str(device), newest_schema=newest(template))
    assert (found.jid, found.stops, found.remarks) == (DEVICE.jid, [], [])
    assert found.linked_at == DEVICE.linked_at * 1000
    assert comparable(found.rows) == comparable(ROWS)
    assert DEVICE.number not in found.number


async def test_an_older_database_comes_over_by_the_columns_that_both_have(device, template, tmp_path):
    with closing(sqlite3.connect(device)) as file, file:
        for column in ("lid_migration_ts", "companion_meta_nonce", "facebook_uuid"):
            file.execute(f"ALTER TABLE whatsmeow_device DROP COLUMN {column}")
        file.execute("DROP TABLE whatsmeow_retry_buffer")
        file.execute("UPDATE whatsmeow_version SET version = 6")
    (found,) = await candidates(str(device), newest_schema=newest(template))
    write_device(template, found.rows, tmp_path / "new.sqlite3")
    assert comparable(read_device_rows(tmp_path / "new.sqlite3", DEVICE.jid)) == comparable(ROWS)


async def test_a_newer_database_is_refused(device, template):
    with closing(sqlite3.connect(device)) as file, file:
        file.execute("UPDATE whatsmeow_version SET version = 99")
    with pytest.raises(NotImportable, match="upgrade this service first"):
        await candidates(str(device), newest_schema=newest(template))


async def test_keys_that_lie_in_a_second_database_come_along(device, template, tmp_path):
    keys = tmp_path / "keys.db"
    shutil.copyfile(device, keys)
    kept_apart = ("pre_keys", "sessions", "identity_keys", "sender_keys")
    with closing(sqlite3.connect(device)) as file, file:
        for table in kept_apart:
            file.execute(f"DELETE FROM whatsmeow_{table}")
    with closing(sqlite3.connect(keys)) as file, file:
        file.execute("DELETE FROM whatsmeow_device")
    (alone,) = await candidates(str(device), newest_schema=newest(template))
    assert "name it with --keys" in alone.remarks[0]
    (found,) = await candidates(str(device), newest_schema=newest(template), keys=str(keys))
    assert found.stops + found.remarks == []
    assert comparable(found.rows) == comparable(ROWS)


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0", b"{}", b"\xff\xfe"])
async def test_a_file_that_is_no_source_is_told_apart(content, tmp_path):
    (tmp_path / "file").write_bytes(content)
    try:
        (found,) = await candidates(str(tmp_path / "file"), newest_schema=newest(None))
    except NotImportable as error:
        assert "database" in str(error)
    else:
        assert found.stops
        assert not found.jid


def test_rows_of_two_devices_are_not_written(template, tmp_path):
    mixed = ROWS | {"sessions": [{**ROWS["sessions"][0], "our_jid": "79990000000:1@s.whatsapp.net"}]}
    with pytest.raises(NotImportable):
        write_device(template, mixed, tmp_path / "device.sqlite3")
    assert not (tmp_path / "device.sqlite3").exists()


def test_a_device_never_loses_its_file_halfway(device, template):
    before = device.read_bytes()
    shutil.copyfile(device, device.with_suffix(".copy"))
    with pytest.raises(NotImportable):
        write_device(template, {"device": [{**ROWS["device"][0], "noise_key": b"short"}]}, device)
    assert device.read_bytes() == before
