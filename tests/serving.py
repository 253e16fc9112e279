"""A server inside a test, whose conversations end with it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(answer: Answer, **options: Any) -> AsyncIterator[int]:
    """The port of a server on loopback, which has one `answer` for each connection; `options` are asyncio's.

    A conversation that is still open at the block's end is cut, and waited for: `answer` must end with its connection. On a
    slow machine it would outlive the test's loop, and fail another test with a warning.
    """
    talking: dict[asyncio.Task[Any], asyncio.StreamWriter] = {}

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        talking[task] = writer
        try:
            await answer(reader, writer)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
            del talking[task]

    server = await asyncio.start_server(talk, "127.0.0.1", 0, **options)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        while talking:
            for writer in talking.values():
                writer.transport.abort()
            await asyncio.wait(talking)
        await server.wait_closed()
