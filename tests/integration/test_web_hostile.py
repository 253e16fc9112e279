"""The socket's border against floods: how much a link, an address and a message may be, and garbage on the wire."""

import asyncio
import contextlib
import json
import secrets

import pytest
import websockets

from app.page.limits import MESSAGES_AT_ONCE
from app.page.socket import SOCKETS_PER_ADDRESS, SOCKETS_PER_LINK
from tests.waiting import until


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("rubbish", "type"),
        ("[]", "type"),
        ("{", "type"),
        ('{"type":"no-such-thing"}', "type"),
        ('{"type":"request-qr","more":1}', "more"),
        ('{"type":"request-pairing-code"}', "phoneNumber"),
        ('{"type":"request-pairing-code","phoneNumber":7}', "phoneNumber"),
        ('{"type":"hello","token":"again"}', "type"),
        ("[" * 3000, "type"),
        ('{"type":"cancel","type":"request-qr"}', "type"),
        ('{"type":"request-pairing-code","phoneNumber":"1","phoneNumber":"2"}', "phoneNumber"),
        ('{"type":"request-pairing-code","phone_number":"8 900 123-45-67"}', "phoneNumber"),
    ],
    ids=lambda one: one[:20],
)
async def test_what_is_no_message_gets_a_typed_error_and_the_socket_lives(web, text, field):
    # Each has a company of its own: the last one's socket may still be leaving when Redis has been emptied, and web
    # would take that for a Redis that lost its memory.
    async with web.tab(web.link(f"salon-{secrets.token_hex(4)}")) as tab:
        await tab.connection.send(text)
        assert await tab.error() == {"code": "forbidden", "field": field}
        await tab.say("request-qr")
        await tab.snapshot(state="queued")


async def test_a_message_too_large_closes_the_socket(web):
    async with web.tab() as tab:
        await tab.say("request-pairing-code", phoneNumber="8" * 5000)
        assert await tab.closed() == 1009


async def test_bytes_are_no_message_of_ours(web):
    async with web.tab() as tab:
        await tab.connection.send(b'{"type":"request-qr"}')
        assert await tab.closed() == 1009


async def test_a_flood_is_cut_off(web):
    async with web.tab() as tab:
        for _ in range(int(MESSAGES_AT_ONCE) * 2):
            try:
                await tab.connection.send("x")
            except websockets.ConnectionClosed:
                break
        assert await tab.closed() == 4429


async def is_let_in(web, link):
    try:
        async with web.tab(link) as tab:
            return tab.seen[0]["type"] == "status"
    except websockets.ConnectionClosed:
        return False


async def test_a_link_has_so_many_sockets_and_a_closed_one_makes_room(web):
    link = web.link()
    tabs = []
    try:
        for _ in range(SOCKETS_PER_LINK):
            tabs.append(web.tab(link))
            await tabs[-1].__aenter__()
        async with web.connect() as socket:
            await socket.send(json.dumps({"type": "hello", "token": web.access.sign(link)}))
            with pytest.raises(websockets.ConnectionClosed):
                await socket.recv()
            assert socket.close_code == 4429
        await tabs.pop().__aexit__(None, None, None)
        await until(lambda: is_let_in(web, link))  # the server hears of the closing a moment later
    finally:
        for tab in tabs:
            await tab.__aexit__(None, None, None)


async def test_a_socket_that_lies_about_its_address_is_counted_by_its_real_one(web):
    """The first of X-Forwarded-For is what the browser says; only the last is what our router saw."""

    async def open_one(number, real="198.51.100.7"):
        forwarded = {"x-forwarded-for": f"203.0.113.{number}, {real}"}
        socket = await web.connect(additional_headers=forwarded)
        sockets.append(socket)
        with contextlib.suppress(websockets.ConnectionClosed):
            await socket.send(json.dumps({"type": "hello", "token": web.access.sign(web.link(f"salon-{number}"))}))
            async with asyncio.timeout(3):
                await socket.recv()
        return socket.close_code

    sockets: list[websockets.ClientConnection] = []
    try:
        assert {await open_one(number) for number in range(SOCKETS_PER_ADDRESS)} == {None}
        assert await open_one(SOCKETS_PER_ADDRESS) == 4429
        assert await open_one(SOCKETS_PER_ADDRESS, real="198.51.100.8") is None
    finally:
        await asyncio.gather(*(socket.close() for socket in sockets))


async def test_garbage_on_the_wire_harms_only_its_own_connection(web):
    async with web.tab() as tab:
        for rubbish in (b"GET / HTTP/1.1\r\n\r\n", secrets.token_bytes(200), b"\x16\x03\x01" + b"\x00" * 100):
            reader, writer = await asyncio.open_connection("127.0.0.1", web.port)
            writer.write(rubbish)
            writer.write_eof()
            async with asyncio.timeout(5):
                await reader.read()
            writer.close()
        await tab.say("request-qr")
        await tab.snapshot(state="queued")


async def test_a_text_that_is_not_utf_8_closes_its_socket_and_nobody_is_told(web):
    async with web.tab() as tab:
        async with tab.connection.send_context():
            tab.connection.protocol.send_text(b'{"type":"\xff\xfe"}')
        assert await tab.closed() == 1007
    async with web.tab():  # the process serves on
        log = web.log.read_text()
    assert "Invalid UTF-8" not in log
    assert "Traceback" not in log
