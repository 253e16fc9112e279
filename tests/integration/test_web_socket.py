"""The socket's border: who gets in, what is a message, and how it ends."""

import asyncio
import contextlib
import json
import secrets
import zlib

import pytest
import websockets

from app.page.limits import MESSAGES_AT_ONCE
from app.page.socket import SOCKETS_PER_ADDRESS, SOCKETS_PER_LINK
from shared.core import keys, qr
from shared.core.clock import now_ms
from shared.core.lifecycle import State
from shared.core.protocol import MAX_TOKEN_LENGTH, Method, QrView
from tests.integration.web import ORIGIN, SECRET
from tests.recovery import at_most
from tests.unit.world import ONE, SESSION, change
from tests.waiting import until


@pytest.mark.parametrize(
    "origin",
    [
        None,
        "https://evil.example",
        "null",
        "http://onboarding.example",
        "https://onboarding.example.evil.example",
        "https://onboarding.example:444",
    ],
)
async def test_a_foreign_origin_is_refused_before_anything_is_accepted(web, origin):
    with pytest.raises(websockets.InvalidStatus) as refused:
        async with web.connect(origin=origin):
            pass
    assert refused.value.response.status_code == 403


async def test_who_says_no_hello_is_sent_away_in_time(web):
    began = asyncio.get_running_loop().time()
    with at_most(8):
        async with web.connect() as socket:
            with pytest.raises(websockets.ConnectionClosed):
                await socket.recv()
            assert socket.close_code == 4408
    assert asyncio.get_running_loop().time() - began > 4


@pytest.mark.parametrize(
    "first",
    [
        *('{"type":"request-qr"}', "rubbish", "{}", '{"type":"hello"}', '{"type":"hello","token":"t","extra":1}'),
        *('{"type":"hello","token":"t","token":"u"}', '{"type":"hello","token":"t","packed":"yes"}'),
    ],
)
async def test_whose_first_word_is_no_hello_is_sent_away(web, first):
    async with web.connect() as socket:
        await socket.send(first)
        with pytest.raises(websockets.ConnectionClosed):
            await socket.recv()
        assert socket.close_code == 4408


async def test_a_forged_token_is_sent_away_without_a_word(web):
    for token in ("rubbish", web.access.sign(web.link())[:-4] + "AAAA"):
        async with web.connect() as socket:
            await socket.send(json.dumps({"type": "hello", "token": token}))
            with pytest.raises(websockets.ConnectionClosed):
                await socket.recv()
            assert socket.close_code == 4401


async def test_an_expired_or_revoked_link_is_sent_away_and_told_whose_it_was(web, redis):
    expired = web.link(ttl_seconds=-60)
    revoked = web.link()
    await redis.set(keys.link(revoked.id), "revoked")
    for link in (expired, revoked):
        async with web.connect() as socket:
            await socket.send(json.dumps({"type": "hello", "token": web.access.sign(link)}))
            told = json.loads(await socket.recv())
            assert told["type"] == "error"
            assert told["error"] == {"code": "link-spent"}
            assert told["profile"]["company"] == "Salon"
            assert "snapshot" not in told
            with pytest.raises(websockets.ConnectionClosed):
                await socket.recv()
            assert socket.close_code == 4401


async def test_who_takes_packed_messages_gets_long_ones_packed(web, world):
    asked = await world.ask()
    lease = await world.leases.acquire(SESSION, ONE, attempt=asked.attempt)
    shown = QrView(text="2@" + "x" * 200, svg=qr.svg("2@" + "x" * 200), number=1, of=6, expires_at=now_ms() + 60_000)
    ready = change(State.AWAITING_PHONE, method=Method.QR, deadline=now_ms() + 60_000, qr=shown)
    token = web.access.sign(web.link("salon-1"))
    await world.snapshots.save(lease, change(State.CONNECTING, method=Method.QR))
    await world.snapshots.save(lease, ready)
    for packed in (False, True):
        async with web.connect() as socket:
            await socket.send(json.dumps({"type": "hello", "token": token, "packed": packed}))
            answer = await socket.recv()
            assert isinstance(answer, bytes) is packed
            text = zlib.decompress(answer, wbits=-zlib.MAX_WBITS) if isinstance(answer, bytes) else answer
            assert json.loads(text)["snapshot"]["qr"]["svg"] == shown.svg
            if packed:
                assert len(answer) < len(text) / 2


async def test_a_country_that_is_none_is_refused_by_its_field(web):
    async with web.tab() as tab:
        for region in ("XX", "m", "Mexico", 7):
            await tab.say("request-pairing-code", phoneNumber="5512345678", region=region)
            assert (await tab.error())["field"] == "region"


@pytest.mark.parametrize("token", ["", "x" * (MAX_TOKEN_LENGTH + 1), 7])
async def test_a_token_that_can_be_none_is_a_bad_token(web, token):
    async with web.connect() as socket:
        await socket.send(json.dumps({"type": "hello", "token": token}))
        with pytest.raises(websockets.ConnectionClosed):
            await socket.recv()
        assert socket.close_code == 4401


async def test_the_longest_link_that_the_api_makes_opens(web):
    """And what is too long for a hello is refused when it is made, not when it is opened."""
    asked = {
        "companyId": "c" * 64,
        "companyName": "\N{BARBER POLE}" * 80,
        "phoneNumber": "+79001234567",
        "locale": f"pt-{'-'.join(['Latin'] * 5)}"[:35].rstrip("-"),
    }
    fits, refused, least = None, None, f"{ORIGIN}/{'x' * (1500 - 27)}"
    async with web.http() as http:
        for more in range(0, 600, 50):
            answer = await http.post("/api/v1/links", json=asked | {"returnUrl": least + "x" * more})
            if answer.status_code == 422:
                refused = answer.json()
                break
            fits = answer.json()
    assert fits is not None
    assert refused is not None
    assert refused["field"] == "returnUrl"
    assert "shorten it by" in refused["detail"]
    async with web.tab(fits["token"]) as tab:
        assert len(tab.seen[0]["profile"]["returnUrl"]) >= 1500


async def test_an_open_tab_is_closed_when_its_link_is_revoked(web):
    leaked = web.link()
    async with web.tab(leaked) as tab, web.tab() as other, web.http() as http:
        assert (await http.delete(f"/api/v1/links/{leaked.id}")).status_code == 204
        assert await tab.closed() == 4401
        await other.say("request-qr")
        await other.snapshot(state="queued")


async def test_a_hello_is_answered_with_the_present_state_and_who_asks(web):
    link = web.link(phone="+79001234567", locale="ru", return_url="https://back.example/")
    before = now_ms()
    async with web.tab(link) as tab:
        first = tab.seen[0]
    assert first["type"] == "status"
    assert before - 1000 < first["snapshot"].pop("serverNow") < now_ms() + 1000
    assert first["snapshot"] == {"state": "unlinked", "sessionId": "company_salon", "attempt": 0, "seq": 0}
    assert first["profile"]["company"] == "Salon"
    assert first["profile"]["returnUrl"] == "https://back.example/"
    assert first["profile"]["spent"] is False
    assert SECRET not in json.dumps(first)


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
