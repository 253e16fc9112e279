"""Has the library make its tables, or bring them up to date: `python -m workers.engine.child.tables`, in a process of its own.

Standard input holds two lines: the library's name of a throw-away SQLite file, then the DSN of a Postgres. A client is
started on each, against a proxy that is not there: the library opens its store before it dials. Prints what the library
said about the second and ends. The caller compares the two: the file is what this version of the library wants.
"""

import asyncio
import os
import sys
from typing import NoReturn

from workers.engine.child import happenings as happen
from workers.engine.child.client import Client, Library
from workers.engine.orders import Options

NOWHERE = "http://127.0.0.1:1"
"""Address of no server: dials are refused at once, and nothing goes to WhatsApp."""


async def main(output: int) -> NoReturn:
    library = Library(Options(device_name="tables", proxy_url=NOWHERE), threads=8)
    said = ""
    for name in sys.stdin.read().splitlines():
        client = Client(library, name, new_device=True)
        await client.start()
        happening = await client.happenings.get()
        said = happening.detail if isinstance(happening, happen.Over) else f"unexpected {type(happening).__name__}"
    os.write(output, said.encode())
    os._exit(0)


if __name__ == "__main__":
    own = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the Go library prints on it
    asyncio.run(main(own))
