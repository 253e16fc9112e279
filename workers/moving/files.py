"""A device file is the SQLite database of one device, as the library opens it. It is filled from rows here, and rows are read
from any SQLite database of whatsmeow."""

import asyncio
import re
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from workers.engine.devices import open_file, pairing_name, settle
from workers.engine.making import make_tables
from workers.moving.baileys import NotImportable
from workers.moving.rows import Row, Rows

PREFIX = "whatsmeow_"
#: Tables that no device owns: the versions are the library's, lids are shared.
_VERSION, _LIDS = "version", "lid_map"
_NAME = re.compile(r"[a-z][a-z0-9_]*")


class Template:
    """An empty device file of the installed library, copied for each device. Made once, as that starts the library."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "template.sqlite3"
        """The empty file; `make` makes it."""

    async def version(self) -> int:
        """Make the tables if there are none, and return their version. Raises NotImportable."""
        await self.make()
        return await asyncio.to_thread(version_of, self.file) or 0

    async def make(self) -> None:
        """Have the library make its tables, once. Raises NotImportable if it does not."""
        if self.file.exists():
            return
        await make_tables(pairing_name(str(self.file)))
        await asyncio.to_thread(settle, str(self.file))
        if version_of(self.file) is None:
            raise NotImportable("the WhatsApp library did not make its tables")


def write_device(template: Path, rows: Rows, target: Path) -> None:
    """Write the device file `target`, whole or not at all. Columns that the library does not have are left out.

    Raises NotImportable if the library's tables do not take the rows.
    """
    with tempfile.TemporaryDirectory(prefix="moving-", dir=target.parent) as folder:
        new = Path(folder, "new.sqlite3")
        shutil.copyfile(template, new)
        new.chmod(0o600)
        try:
            with closing(sqlite3.connect(new)) as file, file:
                file.execute("PRAGMA foreign_keys=ON")
                for table in sorted(rows, key=lambda name: name != "device"):
                    _insert(file, PREFIX + table, rows[table])
                broken = file.execute("PRAGMA foreign_key_check").fetchall()
        except sqlite3.Error as error:
            raise NotImportable(f"the library's tables do not take it ({type(error).__name__})") from None
        if broken:
            raise NotImportable("its rows belong to more than one device")
        new.replace(target)


def _insert(file: sqlite3.Connection, table: str, rows: list[Row]) -> None:
    known = _columns(file, table)
    for row in rows:
        columns = [column for column in row if column in known]
        marks = ", ".join("?" * len(columns))
        file.execute(
            f"INSERT OR REPLACE INTO {table} ({', '.join(columns)}) VALUES ({marks})",  # noqa: S608 - checked names
            [row[column] for column in columns],
        )


def _columns(file: sqlite3.Connection, table: str) -> set[str]:
    if not _NAME.fullmatch(table):
        raise NotImportable("a table has a strange name")
    return {row[1] for row in file.execute(f"PRAGMA table_info({table})")}


def version_of(database: Path) -> int | None:
    """The version of the whatsmeow tables in a SQLite file; None if it holds none."""
    try:
        with open_file(database) as file:
            (version,) = file.execute(f"SELECT max(version) FROM {PREFIX}{_VERSION}").fetchone()  # noqa: S608
            return int(version) if version is not None else None
    except sqlite3.Error:
        return None


def jids_in(database: Path) -> list[str]:
    """Every device of a whatsmeow database. Raises NotImportable if it is none."""
    try:
        with open_file(database) as file:
            return [jid for (jid,) in file.execute(f"SELECT jid FROM {PREFIX}device ORDER BY jid")]  # noqa: S608
    except sqlite3.Error:
        raise NotImportable("this is no whatsmeow database") from None


def read_device_rows(database: Path, jid: str) -> Rows:
    """Every row of one device of a whatsmeow database, and all lids. Raises NotImportable."""
    rows = read_rows(database, jid)
    if len(rows.get("device", [])) != 1:
        raise NotImportable("the database does not hold this device")
    return rows


def read_rows(database: Path, jid: str) -> Rows:
    """Every row that names the device `jid`, in a database that need not hold the device itself. Raises NotImportable.

    Its tables name their device in the column `jid` or `our_jid`.
    """
    rows: Rows = {}
    try:
        with open_file(database) as file:
            file.row_factory = sqlite3.Row
            names = [row[0] for row in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            for table in (name for name in names if name.startswith(PREFIX)):
                short = table.removeprefix(PREFIX)
                owner = next((column for column in ("our_jid", "jid") if column in _columns(file, table)), None)
                if short == _LIDS:
                    found = file.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608
                elif owner and short != _VERSION:
                    found = file.execute(f"SELECT * FROM {table} WHERE {owner} = ?", (jid,)).fetchall()  # noqa: S608
                else:
                    continue
                if found:
                    rows[short] = [dict(row) for row in found]
    except sqlite3.Error:
        raise NotImportable("this database cannot be read") from None
    return rows
