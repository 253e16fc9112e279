"""A patient stranger: half-open connections, silent sockets, floods. Each is bounded in time, number and memory, and the
page of somebody who is linking goes on."""

import asyncio
import contextlib
import json
import resource
import socket
import struct
import time

import psutil
import pytest
import websockets

from app.http.edge import PATIENCE_SECONDS, UNFINISHED, UNFINISHED_OF_ADDRESS
from app.http.heads import HEAD_BYTES
from app.page.socket import WITHOUT_HELLO
from tests.integration.web import API_KEY, ORIGIN, Web
from tests.recovery import at_most
from tests.waiting import until

HALF_OPEN = 5000
POST = f"POST /api/v1/links HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {API_KEY}\r\nContent-Length: 60000\r\n\r\n".encode()


@pytest.fixture(scope="module", autouse=True)
def descriptors():
    """Enough for thousands of connections in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < HALF_OPEN + 500:
        pytest.skip(f"THIS MACHINE allows {hard} descriptors a process")
    resource.setrlimit(resource.RLIMIT_NOFILE, (HALF_OPEN + 500, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def direct(redis_server, folder):
    """A web process without any proxy before it."""
    with Web.running(redis_server, folder / "web.log", TRUSTED_PROXIES="none") as web:
        yield web


def memory_mb(web):
    return psutil.Process(web.process.pid).memory_info().rss / 2**20


def connections_of(web):
    """Those of callers, not its own to Redis."""
    open_ = psutil.Process(web.process.pid).net_connections("tcp4")
    return sum(one.status == "ESTABLISHED" and one.laddr.port == web.port for one in open_)


def dial(web, said=b"", source="127.0.0.1"):
    connection = socket.create_connection(("127.0.0.1", web.port), timeout=5, source_address=(source, 0))
    with contextlib.suppress(ConnectionError):  # shown out at once, perhaps
        connection.sendall(said)
    return connection


@contextlib.contextmanager
def many(web, number, said):
    """So many connections that have said this and wait."""
    open_: list[socket.socket] = []
    try:
        open_.extend(dial(web, said) for _ in range(number))
        yield
    finally:
        for one in open_:
            one.close()


async def the_page_works(web, tab, company):
    """A page that is open gets on, and another one opens."""
    with at_most(5):
        await tab.say("request-qr")
        await tab.snapshot(state="queued")
        async with web.tab(web.link(company)) as other:
            assert other.seen[0]["type"] == "status"


@pytest.mark.parametrize(
    ("said", "number", "most_mb"),
    [(b"GET /link HTTP/1.1\r\nHost: a\r\nX-", HALF_OPEN, 60), (POST + b"x" * 50_000, 1500, 160)],
    ids=["heads", "bodies"],
)
async def test_thousands_of_unfinished_requests_take_little_and_hinder_nobody(direct, web, said, number, most_mb):
    """Through a router, whose address says nothing of who is behind it."""
    async with web.tab(web.link("salon-1")) as tab:
        before = memory_mb(web)
        with many(web, number, said):
            assert memory_mb(web) - before < most_mb
            await the_page_works(web, tab, "salon-2")
            assert connections_of(web) <= UNFINISHED + 20
    await until(lambda: connections_of(web) < 10)


async def test_one_address_hinders_no_other(direct):
    others = [dial(direct, b"GET / HTTP/1.1\r\n", source="127.0.0.2") for _ in range(5)]
    with many(direct, UNFINISHED_OF_ADDRESS + 100, b"GET / HTTP/1.1\r\n"):
        async with direct.tab() as tab:  # of that very address
            await the_page_works(direct, tab, "salon-2")
        assert connections_of(direct) <= UNFINISHED_OF_ADDRESS + 10
        for one in others:
            one.sendall(b"Host: a\r\n\r\n")
            assert one.recv(100).startswith(b"HTTP/1.1 307")
            one.close()


async def test_what_is_unfinished_ends_in_time(web):
    """A head, a body, a second head behind a good request, and a connection that says nothing at all."""
    whole = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
    began = time.monotonic()

    async def drip(said):
        reader, writer = await asyncio.open_connection("127.0.0.1", web.port)
        writer.write(said)
        heard = b""
        try:
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(1):
                        piece = await reader.read(4096)
                        if not piece:
                            break
                        heard += piece
                        continue
                if said:
                    writer.write(b"x")
        except ConnectionError:
            pass
        writer.close()
        return time.monotonic() - began, heard

    ended = await asyncio.gather(
        *(drip(one) for one in (b"GET / HTTP/1.1\r\nX: ", POST, whole + b"GET / HTTP/1.1\r\nX: ", b""))
    )
    assert all(PATIENCE_SECONDS - 1 < after < PATIENCE_SECONDS + 4 for after, _ in ended), ended
    assert b"408" in ended[0][1].split(b"\r\n")[0]
    assert b"application/problem+json" in ended[0][1]
    assert ended[2][1].startswith(b"HTTP/1.1 200")
    assert ended[3][1] == b""


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"GET /" + b"a" * HEAD_BYTES + b" HTTP/1.1\r\nHost: a\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X-A: b\r\n" * 2100, 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X-A: b\r\n" * 2500 + b"\r\n", 431),
        (b"rubbish\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    ],
    ids=["long-address", "endless-headers", "many-headers", "rubbish", "no-host", "tls"],
)
async def test_what_is_no_request_is_refused_in_our_words(web, said, status):
    reader, writer = await asyncio.open_connection("127.0.0.1", web.port)
    writer.write(said)
    async with asyncio.timeout(5):
        answer = await reader.read()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"connection: close" in head.lower()
    assert json.loads(body)["status"] == status
    writer.close()


async def test_sockets_without_a_hello_are_few_and_hinder_no_page(web):
    silent = []
    try:
        for number in range(WITHOUT_HELLO + 50):
            forwarded = {"x-forwarded-for": f"198.51.{number // 250}.{number % 250}"}
            silent.append(await web.connect(additional_headers=forwarded))
        with at_most(4):
            async with web.tab(web.link("salon-2")) as tab:
                assert tab.seen[0]["type"] == "status"
        await until(lambda: silent[0].close_code)
        assert silent[0].close_code == 4408
        assert silent[-1].close_code is None
    finally:
        await asyncio.gather(*(one.close() for one in silent), return_exceptions=True)


async def raw_socket(web):
    """A websocket of which we write the frames ourselves."""
    reader, writer = await asyncio.open_connection("127.0.0.1", web.port)
    head = f"GET /ws/v1 HTTP/1.1\r\nHost: a\r\nOrigin: {ORIGIN}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    writer.write(f"{head}Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
    assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    return reader, writer


def frame(opcode, data=b"", *, last=True):
    return struct.pack("!BBI", (0x80 if last else 0) | opcode, 0x80 | len(data), 0) + data


async def close_code(reader):
    """With which code the server closes."""
    async with asyncio.timeout(30):
        said = await reader.read()
    at = said.rfind(b"\x88")
    return struct.unpack("!H", said[at + 2 : at + 4])[0]


@pytest.mark.parametrize(
    "flood",
    [frame(1, b"{}") * 30_000, frame(1, b"", last=False) + frame(0, b"", last=False) * 200_000],
    ids=["messages", "fragments"],
)
async def test_a_flood_of_small_frames_ends_its_socket_and_takes_no_memory(web, flood):
    before = memory_mb(web)
    sockets = [await raw_socket(web) for _ in range(20)]
    for _, writer in sockets:
        writer.write(flood)
    for reader, _ in sockets:
        with contextlib.suppress(ConnectionError):
            assert await close_code(reader) in {1008, 4408}
    assert memory_mb(web) - before < 50
    for _, writer in sockets:
        writer.close()


async def test_who_pings_and_reads_nothing_fills_no_memory(web):
    before = memory_mb(web)
    async with web.tab() as tab:
        await tab.obeyed()
        transport = tab.connection.transport
        transport.pause_reading()
        pings = frame(9, b"p" * 100) * 10_000
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(3):
                for _ in range(60):  # 60 MB
                    transport.write(pings)
                    while transport.get_write_buffer_size() > 2**20:
                        await asyncio.sleep(0.01)
        assert memory_mb(web) - before < 25
        transport.abort()


async def test_a_second_process_has_room_for_as_many_as_it_is_told(redis_server, folder):
    with Web.running(redis_server, folder / "web.log", MAX_SOCKETS="10") as small:
        async with contextlib.AsyncExitStack() as open_:
            for number in range(9):
                await open_.enter_async_context(small.tab(small.link(f"salon-{number}")))
            await until(lambda: connections_of(small) == 9)  # without that of the first look
            await open_.enter_async_context(small.connect())
            with pytest.raises((ConnectionError, websockets.InvalidHandshake, EOFError)):
                await open_.enter_async_context(small.connect())
