"""Counts what clients send to Redis, by MONITOR. What scripts call inside Redis is counted apart.

Held against the bars is what is sent: that is what costs round trips and what hosts bill and limit. INFO's
total_commands_processed counts calls inside scripts as well; `inside` is told beside it.
"""

import asyncio
import re
from collections import Counter
from typing import Self
from urllib.parse import unquote, urlsplit

_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"')


class Monitor:
    """An async context manager."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 6379
        self._password = unquote(parts.password or "")
        self.sent: Counter[str] = Counter()
        self.inside: Counter[str] = Counter()
        self.senders: Counter[str] = Counter()
        self.about = ""
        """If set, only commands that name this count: an onboarding's own, without what everybody sends at rest."""
        self._reading: asyncio.Task[None] | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def __aenter__(self) -> Self:
        reader, self._writer = await asyncio.open_connection(self._host, self._port, limit=2**24)
        for command in ([f"AUTH {self._password}"] if self._password else []) + ["MONITOR"]:
            self._writer.write(command.encode() + b"\r\n")
            answer = await reader.readline()
            assert answer.startswith(b"+OK"), answer
        self._reading = asyncio.create_task(self._read(reader))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait({self._reading})
        if self._writer is not None:
            self._writer.close()

    def reset(self) -> None:
        """Count from now on."""
        for counts in (self.sent, self.inside, self.senders):
            counts.clear()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        # +1700000000.123456 [0 127.0.0.1:5555] "EVALSHA" ...   or   [0 lua] "get" ...
        while line := await reader.readline():
            head, _, command = line.decode(errors="replace").partition("] ")
            if self.about not in command:
                continue
            name = _name(command)
            sender = head.rpartition(" ")[2]
            if sender == "lua":
                self.inside[name] += 1
            else:
                self.sent[name] += 1
                self.senders[sender] += 1


def _name(command: str) -> str:
    """`GET`, or `EVALSHA save` for a script of `shared/state/wa.lua`, which is named behind its keys."""
    words = _WORD.findall(command)
    if not words:
        return command.strip()
    name = str(words[0]).upper()
    if name != "EVALSHA":
        return name
    script = words[3 + int(words[2])] if len(words) > 3 + int(words[2]) else "?"
    return f"{name} {script}"
