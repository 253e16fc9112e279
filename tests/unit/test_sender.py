"""Our client of receivers: one connection for many events, and answers of every kind."""

import asyncio
import contextlib
import socket
import threading

import pytest

from shared.core.ids import CompanyId
from shared.core.signing import new_secret
from shared.settings import Settings
from shared.state.events import Due
from shared.state.receivers import Receiver
from tests.serving import serving
from tests.waiting import until
from workers import sender as module
from workers.sender import Sender

SECRET = new_secret()
DUE = Due("e1", "session.linked", CompanyId("salon"), b'{"id":"e1"}', 0, 1)
TAKEN = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Host:
    """Answers each request of a connection with the next of its pieces; None hangs up."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.connections = 0
        self.requests = []

    async def serve(self, reader, writer):
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
                self.requests.append(head + await reader.readexactly(int(length.split(b":")[1])))
                if (answer := self.answers.pop(0)) is None:
                    break
                for piece in answer if isinstance(answer, list) else [answer]:
                    writer.write(piece)
                    await asyncio.sleep(0.001)  # so that it travels alone
        except (asyncio.IncompleteReadError, ConnectionError):
            pass


@pytest.fixture
async def at():
    """Has a host listen: its URL, and a sender of ours."""
    async with contextlib.AsyncExitStack() as stack:

        async def listen(host, **settings):
            port = await stack.enter_async_context(serving(host.serve))
            ours = Sender(Settings.model_validate({"secret_key": "s" * 32, "api_keys": "k" * 16} | settings))
            stack.callback(ours.close)
            return f"http://127.0.0.1:{port}/hooks", ours

        yield listen


def receiver(url, own=False):
    return Receiver(url, SECRET, frozenset(), own=own)


async def sent(ours, url, times=1, **more):
    faults = []
    for _ in range(times):
        faults.append(await ours.send(receiver(url, **more), DUE))
        await until(lambda: all(one.is_ready or one.is_closed for one in ours._kept))
    return faults


@pytest.mark.parametrize(
    "answer",
    [
        TAKEN,
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        [b"HTTP/1.1 20", b"0 OK\r\nContent-Length: 2\r\n", b"\r\no", b"k"],
        b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 204\r\n\r\n",
    ],
)
async def test_one_connection_serves_many_events(at, answer):
    host = Host(answer, answer, answer)
    url, ours = await at(host)
    assert await sent(ours, url, 3) == [None] * 3
    assert host.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nConnection: keep-alive, Close\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\n\r\nuntil it hangs up",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok and more than it announced",
        TAKEN + b"HTTP/1.1 500 An answer that nobody asked for\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2000000\r\n\r\n" + b"x" * 2_000_000,
    ],
)
async def test_a_connection_whose_answer_has_no_certain_end_or_a_late_one_is_not_used_again(at, answer):
    host = Host(answer, answer)
    url, ours = await at(host)
    assert await sent(ours, url, 2) == [None, None]
    assert host.connections == 2


async def test_a_connection_that_was_closed_meanwhile_costs_no_try(at):
    host = Host(TAKEN, None, TAKEN)
    url, ours = await at(host)
    assert await sent(ours, url, 2) == [None, None]
    assert len(host.requests) == 3


async def test_a_connection_that_was_silent_for_long_is_not_used_again(at, monkeypatch):
    host = Host(TAKEN, TAKEN)
    url, ours = await at(host)
    await sent(ours, url)
    monkeypatch.setattr(module, "KEPT_SECONDS", 0)
    assert await sent(ours, url) == [None]
    assert host.connections == 2


async def test_many_events_at_once_have_connections_of_their_own(at):
    host = Host(*[TAKEN] * 4)
    url, ours = await at(host)
    assert await asyncio.gather(*(ours.send(receiver(url), DUE) for _ in range(4))) == [None] * 4
    assert host.connections == 4


async def test_a_companys_own_receiver_gets_a_connection_for_each_event(at):
    host = Host(TAKEN, TAKEN)
    url, ours = await at(host, webhook_networks="127.0.0.0/8")
    assert await sent(ours, url, 2, own=True) == [None, None]
    assert host.connections == 2


async def test_a_name_whose_server_does_not_answer_delays_neither_other_receivers_nor_other_work(at, monkeypatch):
    url, ours = await at(Host(*[TAKEN] * 17), webhook_networks="127.0.0.0/8")
    answered, really = threading.Event(), socket.getaddrinfo

    def look(name, *about, **more):
        if name == "silent.example":
            answered.wait(30)
        return really("127.0.0.1", *about, **more)

    monkeypatch.setattr(socket, "getaddrinfo", look)
    silent = receiver(url.replace("127.0.0.1", "silent.example"), own=True)
    other = receiver(url.replace("127.0.0.1", "other.example"), own=True)
    waiting = [asyncio.create_task(ours.send(silent, DUE)) for _ in range(16)]  # of a worker, at most
    try:
        async with asyncio.timeout(5):
            assert await ours.send(other, DUE) is None
            await asyncio.to_thread(int)  # as the device store does
        assert not any(one.done() for one in waiting)
    finally:
        answered.set()
        await asyncio.gather(*waiting)


async def test_a_dead_address_leaves_time_for_the_next(at, monkeypatch):
    url, ours = await at(Host(TAKEN), webhook_networks="127.0.0.0/8")
    monkeypatch.setattr(module, "CONNECT_SECONDS", 0.5)
    loop, found = asyncio.get_running_loop(), [(0, 0, 0, "", (one, 0)) for one in ("127.0.0.9", "127.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    really = loop.create_connection

    async def connect(made, host, *about, **more):
        if host == "127.0.0.9":
            await asyncio.Event().wait()
        return await really(made, host, *about, **more)

    monkeypatch.setattr(loop, "create_connection", connect)
    assert await ours.send(receiver(url, own=True), DUE) is None


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (None, "RemoteProtocolError"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "RemoteProtocolError"),
        (b"HTTP/1.1 999 No\r\n\r\n", "status 999"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"x" * 20_000, "RemoteProtocolError"),
        (b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n", "status 500"),
        (b"HTTP/1.1 302 Elsewhere\r\nlocation: /\r\ncontent-length: 0\r\n\r\n", "status 302"),
    ],
)
async def test_the_trouble_is_told_in_a_word(at, answer, fault):
    url, ours = await at(Host(answer))
    assert await sent(ours, url) == [fault]


async def test_a_request_names_its_host_its_path_and_whoever_the_url_names(at):
    host = Host(TAKEN, TAKEN)
    url, ours = await at(host)
    where = url.removeprefix("http://").removesuffix("/hooks")
    assert await sent(ours, f"http://ada:l%40dy@{where}?a=b") == [None]
    assert await sent(ours, f"http://{where}/a b") == ["LocalProtocolError"], "no line of ours can be broken"
    first, *lines = host.requests[0].decode().split("\r\n")
    assert first == "POST /?a=b HTTP/1.1"
    assert f"host: {where}" in lines
    assert "authorization: Basic YWRhOmxAZHk=" in lines
    assert lines[-1] == '{"id":"e1"}'
