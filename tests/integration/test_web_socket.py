"""The socket's border: who gets in, what is a message, and how it ends."""

import asyncio
import json
import zlib

import pytest
import websockets

from shared.core import keys, qr
from shared.core.clock import now_ms
from shared.core.lifecycle import State
from shared.core.protocol import MAX_TOKEN_LENGTH, Method, QrView
from shared.state.switches import LOOK_SECONDS
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


async def by_redis(operator):
    seconds, microseconds = await operator.time()
    return seconds * 1000 + microseconds // 1000


async def at_a_hello(web, operator, link):
    """The first message of a new tab, if its moment is the present one by Redis' clock."""
    before = await by_redis(operator)
    async with web.tab(link) as tab:
        first = tab.seen[0]
    fits = before - 1000 < first["snapshot"].pop("serverNow") < await by_redis(operator) + 1000
    return first if fits else None


async def test_a_hello_is_answered_with_the_present_state_and_who_asks(web, operator):
    link = web.link(phone="+79001234567", locale="ru", return_url="https://back.example/")
    # Where a host's clock is set back, web learns it with its next look at the switches.
    first = await until(lambda: at_a_hello(web, operator, link), 2 * LOOK_SECONDS)
    assert first["type"] == "status"
    assert first["snapshot"] == {"state": "unlinked", "sessionId": "company_salon", "attempt": 0, "seq": 0}
    assert first["profile"]["company"] == "Salon"
    assert first["profile"]["returnUrl"] == "https://back.example/"
    assert first["profile"]["spent"] is False
    assert SECRET not in json.dumps(first)
