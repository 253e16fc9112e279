"""One connection of an attempt: what it hears of its linker, and when."""

from collections.abc import AsyncIterator
from typing import Any, cast

from workers.engine import protocol as pipe
from workers.linking.connection import LinkerConnection


class EndingLinker:
    """Has connected, and ends."""

    library = None
    is_gone = False

    async def __aiter__(self) -> AsyncIterator[pipe.Connected]:
        yield pipe.Connected()

    async def gone(self, _limit: float) -> None:
        self.is_gone = True


async def test_a_login_is_told_when_the_process_is_gone_which_had_the_device_file_open():
    linker, heard = EndingLinker(), []
    connection = LinkerConnection(
        cast("Any", linker), "/nowhere", lambda _, event: heard.append((event, linker.is_gone))
    )
    await connection.listening
    assert heard == [(pipe.Connected(), True)]
