"""SQLite files of the library: their names for it, a look into them, their guard, their last closing."""

import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

#: neonize appends `?_foreign_keys=on` to the name; `x=` swallows it. Without `_foreign_keys=on` of our own the store
#: refuses to open.
_END = "_foreign_keys=on&x="
PREFIX = "whatsmeow_"
"""The names of the library's tables begin with it."""
_COLUMNS = """
SELECT tables.name, columns.name FROM sqlite_master AS tables, pragma_table_info(tables.name) AS columns
WHERE tables.type = 'table'
"""
_NAME = re.compile(r"[a-z][a-z0-9_]*")

_GUARD = """
CREATE TRIGGER IF NOT EXISTS wa_guard BEFORE DELETE ON whatsmeow_device BEGIN SELECT RAISE(IGNORE); END
"""


def pairing_name(database: str) -> str:
    """The library's name for a throw-away file to pair into: no syncs, so the 812 prekeys take 76 ms, not 491.

    The device store makes the finished file durable (`settle`) before anybody hears of it.
    """
    return f"{quote(database)}?_journal_mode=WAL&_synchronous=OFF&_busy_timeout=5000&{_END}"


def held_name(database: str) -> str:
    """The library's name for a store to hold a session from: a file path, or a Postgres DSN (untouched)."""
    if is_postgres(database):
        return database
    return f"{quote(database)}?_journal_mode=WAL&_synchronous=NORMAL&_busy_timeout=5000&{_END}"


def is_postgres(database: str) -> bool:
    """True if `database` is a DSN rather than a path; the prefix is the one that neonize looks at."""
    return database.startswith("postgres")


def device_in(database: str, jid: str) -> bool:
    """True if the SQLite file `database` holds the device `jid` (`number:device@server`).

    Must be asked right before a start. For a jid that its store does not hold, the library aborts the whole process; if the
    store holds none at all, it shows a QR. False for a missing file and for one that is no device store.
    """
    if not Path(database).exists():
        return False
    try:
        with open_file(database) as file:
            return file.execute("SELECT 1 FROM whatsmeow_device WHERE jid = ?", (jid,)).fetchone() is not None
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return False
        raise
    except sqlite3.DatabaseError:  # not a database
        return False


def open_file(database: str | Path, mode: str = "ro") -> "closing[sqlite3.Connection]":
    """Open a SQLite file that is there already, for a `with` block. `ro` changes neither it nor what lies beside it."""
    return closing(sqlite3.connect(f"{Path(database).absolute().as_uri()}?mode={mode}", uri=True, timeout=5))


def columns_of(file: sqlite3.Connection) -> set[tuple[str, str]]:
    """The names of the library's tables in an open file, each with each of its columns."""
    return {(table, column) for table, column in file.execute(_COLUMNS) if table.startswith(PREFIX)}


def read_tables(database: str | Path) -> dict[str, list[dict[str, object]]]:
    """The library's tables in a SQLite file, all as they are at one moment, each row by its columns.

    Raises `sqlite3.Error`, also for strange names."""
    tables = {}
    with open_file(database) as file:
        file.execute("BEGIN")
        for (table,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            if table.startswith(PREFIX):
                found = file.execute(f'SELECT * FROM "{_checked(table)}"')  # noqa: S608 - the name is checked
                columns = [_checked(column[0]) for column in found.description]
                tables[table] = [dict(zip(columns, row, strict=True)) for row in found]
    return tables


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise sqlite3.DatabaseError("a table or a column has a strange name")
    return name


def guard(database: str) -> None:
    """Keep the library from deleting the device of the SQLite file `database`, as it does when WhatsApp refuses a login:
    some refusals end, and the worker decides. Idempotent; removing the file removes the device."""
    with open_file(database, "rw") as file:
        file.execute(_GUARD)


def settle(database: str) -> None:
    """Make the one file `database` the whole device, synced to disk: no write-ahead log beside it. Raises `sqlite3.Error`
    and OSError.

    Only when no process has it open. Not in the linker: there the library's own copy of SQLite still has it open, as
    stop() does not close it. Two copies of SQLite in one process do not see each other's locks.
    """
    Path(database).stat()  # SQLite would make what is not there
    with closing(sqlite3.connect(database, timeout=5, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous=FULL")
        busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        (mode,) = connection.execute("PRAGMA journal_mode=DELETE").fetchone()
    if busy or mode != "delete":
        raise sqlite3.OperationalError(f"{Path(database).name} is still open elsewhere")
    sync(database)


def sync(path: str | Path) -> None:
    """Have the kernel write a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
