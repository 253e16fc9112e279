"""Device files: what is in them, and how one becomes a single file."""

import shutil
import sqlite3
from pathlib import Path

import pytest

from workers.engine.devices import device_in, held_name, pairing_name, settle

JID = "79001234567:3@s.whatsapp.net"


@pytest.fixture
def store(tmp_path):
    """A store with one device, still with its write-ahead log."""
    path = tmp_path / "a store #1?.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE whatsmeow_device (jid TEXT PRIMARY KEY)")
    connection.execute("INSERT INTO whatsmeow_device VALUES (?)", (JID,))
    connection.commit()
    yield connection, str(path)
    connection.close()


def test_a_device_is_found_by_its_whole_jid_only(store):
    _, path = store
    assert device_in(path, JID)
    assert not device_in(path, "79001234567:4@s.whatsapp.net")


def test_no_file_an_empty_file_and_no_database_hold_no_device_and_are_not_made(tmp_path):
    missing, empty, other = tmp_path / "missing.db", tmp_path / "empty.db", tmp_path / "other.db"
    empty.touch()
    other.write_text("no database at all, but long enough to look like one" * 20)

    assert not device_in(str(missing), JID)
    assert not device_in(str(empty), JID)
    assert not device_in(str(other), JID)
    assert not missing.exists()


def test_a_store_whose_process_was_killed_becomes_one_file(store, tmp_path):
    _, path = store
    left = tmp_path / "left"
    left.mkdir()
    for file in list(tmp_path.glob("a store*")):
        shutil.copy(file, left)
    copy = str(left / Path(path).name)
    assert len(list(left.iterdir())) == 3

    settle(copy)

    assert [file.name for file in left.iterdir()] == ["a store #1?.db"]
    assert device_in(copy, JID)


def test_a_store_that_somebody_has_open_is_not_settled(store):
    connection, path = store
    connection.execute("BEGIN IMMEDIATE")
    with pytest.raises(sqlite3.OperationalError):
        settle(path)


def test_names_for_the_library_quote_the_path_and_leave_a_dsn_alone():
    dsn = "postgres://user:password@host/base?binary_parameters=yes"
    assert held_name(dsn) == dsn
    assert held_name("/a b/#1?.db").startswith("/a%20b/%231%3F.db?_journal_mode=WAL&_synchronous=NORMAL&")
    assert pairing_name("/x.db").startswith("/x.db?_journal_mode=WAL&_synchronous=OFF&")
    # Without these at its end the library would not open its store.
    assert pairing_name("/x.db").endswith("&_foreign_keys=on&x=")
    assert held_name("/x.db").endswith("&_foreign_keys=on&x=")
