"""A device file is the SQLite database of one device, as the library opens it. It is filled from rows here, and rows are read
from any SQLite database of whatsmeow."""

import asyncio
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from workers.engine.devices import PREFIX, columns_of, pairing_name, read_tables, settle
from workers.engine.making import make_tables
from workers.moving.baileys import NotImportable, refusing
from workers.moving.rows import ForeignDatabase, Rows


class Template:
    """An empty device file of the installed library, copied for each device. Made once, as that starts the library."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "template.sqlite3"
        """The empty file; `version` makes it."""

    async def version(self) -> int:
        """The version of the library's tables, which it makes if there are none. Raises NotImportable if it does not."""
        if not self.file.exists():
            await make_tables(pairing_name(str(self.file)))
            await asyncio.to_thread(settle, str(self.file))
        version = read_database(self.file).version
        if version is None:
            raise NotImportable("the WhatsApp library did not make its tables")
        return version

    async def write(self, rows: Rows, target: Path) -> None:
        """Write a device file, as `write_device` does."""
        await self.version()
        await asyncio.to_thread(write_device, self.file, rows, target)


def write_device(template: Path, rows: Rows, target: Path) -> None:
    """Write the device file `target`, whole or not at all. Columns that the library does not have are left out.

    Raises NotImportable if the library's tables do not take the rows.
    """
    with tempfile.TemporaryDirectory(prefix="moving-", dir=target.parent) as folder:
        new = Path(folder, "new.sqlite3")
        shutil.copyfile(template, new)
        new.chmod(0o600)
        with (
            refusing("the library's tables do not take it ({error})", sqlite3.Error),
            closing(sqlite3.connect(new)) as file,
            file,
        ):
            file.execute("PRAGMA foreign_keys=ON")
            known = columns_of(file)
            for table in sorted(rows, key=lambda name: name != "device"):
                for row in rows[table]:
                    columns = [column for column in row if (PREFIX + table, column) in known]
                    if not columns:
                        raise sqlite3.OperationalError("the library has no such table")
                    file.execute(
                        f"INSERT OR REPLACE INTO {PREFIX}{table} ({', '.join(columns)}) "  # noqa: S608 - known names
                        f"VALUES ({', '.join('?' * len(columns))})",
                        [row[column] for column in columns],
                    )
            broken = file.execute("PRAGMA foreign_key_check").fetchall()
        if broken:
            raise NotImportable("its rows belong to more than one device")
        new.replace(target)


def read_database(database: Path) -> ForeignDatabase:
    """The devices of a SQLite database of whatsmeow. Raises NotImportable."""
    with refusing("this database cannot be read", sqlite3.Error):
        return ForeignDatabase.of(read_tables(database))


def read_device_rows(database: Path, jid: str) -> Rows:
    """Every row of one device of a whatsmeow database, and all lids; none if it is not there. Raises NotImportable."""
    rows = read_database(database).devices.get(jid, {}) if database.exists() else {}
    return rows if "device" in rows else {}
