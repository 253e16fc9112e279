"""A peer that reads our answers too slowly keeps no place; one that reads on has all of them."""

import asyncio
import contextlib
import socket

import pytest
import uvicorn
from starlette.responses import Response
from uvicorn.server import ServerState

from app.http import frames
from app.http.edge import Doorkeeper, EdgeRequests
from tests.waiting import until

BODY = b"x" * (16 << 20)
"""More than the kernel keeps for a socket."""
ASKED = b"GET / HTTP/1.1\r\nHost: a\r\n"


@pytest.fixture
async def served():
    """The port of a server of ours, and its connections."""
    config, state = uvicorn.Config(Response(BODY), http="h11", lifespan="off", log_config=None), ServerState()
    config.load()
    door = Doorkeeper(100, ())
    make = lambda: EdgeRequests(door, config=config, server_state=state, app_state={})  # noqa: E731
    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1], state.connections
    server.close()
    for one in list(state.connections):
        one.transport.abort()
    await server.wait_closed()


@pytest.mark.parametrize("close", [b"", b"Connection: close\r\n"], ids=["kept", "closed"])
async def test_who_reads_a_little_now_and_then_is_shown_out(served, close, monkeypatch):
    monkeypatch.setattr(frames, "UNREAD_MS", 500)
    port, connections = served
    with socket.create_connection(("127.0.0.1", port)) as slow:
        slow.sendall(ASKED + close + b"\r\n")
        slow.setblocking(False)  # the server answers on this same loop
        await until(lambda: connections)

        def gone():
            with contextlib.suppress(ConnectionError, BlockingIOError):
                slow.recv(1 << 13)
            return not connections

        await until(gone)


async def test_who_reads_on_gets_all_of_many_answers(served):
    port, connections = served
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(3):
        writer.write(ASKED + b"\r\n")
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(len(BODY)) == BODY
        assert [one._unread for one in connections] == [None], "no clock runs"
    writer.close()
