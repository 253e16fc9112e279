"""The wire as an attacker writes it: requests with two readings, addresses that are not ours, upgrades that ask for more.

One way of writing bare bytes serves all tests: one file.
"""

import asyncio
import json
import re

import pytest
import websockets

from app.http.problems import MEDIA_TYPE
from tests.integration.web import API_KEY, ORIGIN, Web

BEHIND = f"DELETE /api/v1/companies/salon HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer {API_KEY}\r\n\r\n".encode()
"""A request that a proxy took for the body of the one before."""
LENGTH = f"Content-Length: {len(BEHIND)}\r\n".encode()
CHUNKED = b"Transfer-Encoding: chunked\r\n"
TWO_READINGS = {
    "both lengths": LENGTH + CHUNKED + b"\r\n0\r\n\r\n",
    "both, the other way round": CHUNKED + LENGTH + b"\r\n0\r\n\r\n",
    "two lengths": b"Content-Length: 0\r\n" + LENGTH + b"\r\n",
    "a list of lengths": f"Content-Length: 0, {len(BEHIND)}\r\n\r\n".encode(),
    "a length with a sign": b"Content-Length: +0\r\n\r\n",
    "a negative length": b"Content-Length: -1\r\n\r\n",
    "a length in hex": b"Content-Length: 0x0\r\n\r\n",
    "a length with an underscore": b"Content-Length: 1_0\r\n\r\n",
    "an unknown coding": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "two codings": b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "two lines of codings": CHUNKED + b"Transfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "a coding behind a tab": b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
    "a blank before the colon": b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a zero byte": b"X-A: a\x00b\r\n\r\n",
    "a lone return": b"X-A: a\rTransfer-Encoding: chunked\r\n\r\n",
    "a lone newline": b"X-A: b\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a lone newline at the end": CHUNKED[:-2] + b"\n\r\n0\r\n\r\n",
    "lone newlines": b"X-A: b\n\n",
    "a folded coding": b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "a folded length": b"Content-Length:\r\n\t0\r\n\r\n",
    "a folded header": b"X-A: b\r\n Transfer-Encoding: chunked\r\n\r\n",
    "a chunk of no number": CHUNKED + b"\r\nzz\r\n\r\n",
    "a chunk with a sign": CHUNKED + b"\r\n+0\r\n\r\n",
    "a chunk without its end": CHUNKED + b"\r\n1\r\nAB0\r\n\r\n",
    "two keys": f"Authorization: Bearer {API_KEY}\r\nAuthorization: Bearer x\r\n".encode() + LENGTH + b"\r\n",
    "two keys of a request": b"Idempotency-Key: a\r\nidempotency-key: b\r\n" + LENGTH + b"\r\n",
    "a length that is huge": b"Content-Length: " + b"9" * 400 + b"\r\n\r\n",
}


async def said_to(web, raw):
    """All that the server says until it closes. A window of seconds would take a machine that stalls for a server that is silent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", web.port)
    writer.write(raw)
    heard = b""
    try:
        while piece := await reader.read(1 << 16):
            heard += piece
    except ConnectionError:
        pass
    finally:
        writer.close()
    return heard


async def test_no_request_hides_behind_another(web, redis):
    first = b"POST /api/v1/links HTTP/1.1\r\nHost: a\r\n"
    answers = await asyncio.gather(*(said_to(web, first + how + BEHIND) for how in TWO_READINGS.values()))
    statuses = {how: re.findall(rb"HTTP/1\.1 (\d+)", said) for how, said in zip(TWO_READINGS, answers, strict=True)}
    assert {how: found for how, found in statuses.items() if found not in ([b"400"], [b"401", b"400"], [b"501"])} == {}
    assert not await redis.exists("wa:forgetting"), "what was hidden was not done"
    lone = first.replace(b"\r\n", b"\n") + b"Content-Length: 0\n\n"
    assert re.findall(rb"HTTP/1\.1 (\d+)", await said_to(web, lone)) == [b"400"]
    open_ = await said_to(web, first + b"Content-Length: 0\r\n\r\n" + BEHIND)
    assert re.findall(rb"HTTP/1\.1 (\d+)", open_) == [b"401", b"202"], "what stands behind in the open is done"


@pytest.mark.parametrize(
    "target",
    [
        *("/api/v1/companies/../../metrics", "/api/v1/companies/%2e%2e/%2e%2e/metrics", "/static/../app/main.py"),
        *("/static/..%2f..%2fapp%2fmain.py", "/static/%2e%2e/%2e%2e/etc/passwd", "//metrics", "/metrics/", "/METRICS"),
        *("/metrics;x=1", "/metrics%00", "/metrics%20", "/metrics%2f", "/./metrics", "/link/../metrics", "/%6detrics/"),
        *("/api/v1/companies/", "/api/v1//companies", "/api/v1/companies/a/", "/docs/../metrics", "\\metrics"),
    ],
)
async def test_an_address_has_one_form_and_no_form_opens_more(web, target):
    head = f"GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode()
    answer = await said_to(web, head)
    assert answer[9:12] in {b"404", b"401", b"400"}, answer[:200]
    assert b"location:" not in answer.lower()
    assert b"wa_" not in answer


async def test_an_id_with_a_slash_names_no_other_place(web):
    """An integrator that escapes its customers' words has done what it can."""
    async with web.http() as http:
        hook = {"url": "https://hooks.example/"}
        assert (await http.put("/api/v1/companies/salon/webhook", json=hook)).is_success
        for method, word in [("DELETE", "salon%2Fwebhook"), ("DELETE", "salon%2fwebhook"), ("GET", "salon%2Fwebhook"),
                             ("DELETE", "salon%2Fsession"), ("POST", "salon%2Fmessages"), ("GET", "x%2F..%2Fsalon")]:  # fmt: skip
            answer = await http.request(method, f"/api/v1/companies/{word}")
            assert answer.status_code in {404, 405}, (method, word, answer.text)
        assert (await http.get("/api/v1/companies/salon/webhook")).is_success
        assert (await http.get("/api/v1/companies/sal%6Fn/webhook")).is_success, "other escapes are the letters"
        assert (await http.get("/api/v1/companies/salon/contacts/%2B79001234567")).status_code == 409
        assert (await http.get("/metrics%2f")).status_code == 404
        assert (await http.get("/api%2Fv1%2Fcompanies")).status_code == 404
    assert b"404" in (await said_to(web, b"GET /ws%2fv1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"))[:20]


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "[::1]", "a@evil.example", "a/b", "-", "a\t", "127.0.0.1"]
)
async def test_the_host_that_somebody_names_is_in_no_answer(web, host):
    for target in (
        "/",
        "/link",
        "//evil.example/link",
        "http://evil.example/",
        "http://evil.example/link",
        "/api/v1/x",
    ):
        more = f"X-Forwarded-Host: {host}\r\nForwarded: host={host}\r\nX-Original-URL: /metrics\r\nX-Rewrite-URL: /metrics\r\n"
        answer = await said_to(
            web, f"GET {target} HTTP/1.1\r\nHost: {host}\r\n{more}Connection: close\r\n\r\n".encode()
        )
        assert b"evil.example" not in answer, (target, answer[:400])
        for place in re.findall(rb"(?im)^location: *(.*?)\r$", answer):
            assert place.startswith((b"/link", ORIGIN.encode())), place


async def test_nothing_that_a_caller_says_makes_a_header(web):
    """By the id of a request, a path, a query, a key, a body."""
    for word in ("x%0d%0aSet-Cookie:%20a=b", "%E5%98%8A%E5%98%8DSet-Cookie:%20a=b", "x%0aSet-Cookie: a"):
        for target in (
            f"/link?lang={word}",
            f"/link?look={word}",
            f"/api/v1/companies/{word}",
            f"/{word}",
            f"/docs?{word}",
        ):
            head = f"GET {target.replace(' ', '%20')} HTTP/1.1\r\nHost: a\r\nX-Request-Id: {word.replace(' ', '')}\r\n"
            answer = await said_to(web, f"{head}Idempotency-Key: {word[:9]}\r\nConnection: close\r\n\r\n".encode())
            names = [line.partition(b":")[0].lower() for line in answer.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]]
            assert b"set-cookie" not in names, answer[:400]


async def test_a_refusal_says_nothing_of_what_refuses(web):
    for head in (
        "GET /nowhere",
        "POST /link",
        "TRACE /",
        "GET /api/v1/companies/a",
        "CONNECT evil.example:443",
        "OPTIONS *",
    ):
        answer = await said_to(
            web, f"{head} HTTP/1.1\r\nHost: a\r\nX-Secret: canary\r\nConnection: close\r\n\r\n".encode()
        )
        lowered = answer.lower()
        assert answer[9:10] == b"4", (head, answer[:200])
        assert not [
            word for word in (b"uvicorn", b"starlette", b"h11", b"python", b"traceback", b"canary") if word in lowered
        ]
        assert b"access-control-allow" not in lowered, "no other origin's script reads an answer"


async def test_a_socket_is_plain_whatever_its_opener_asks_for(web):
    """No compression, which bombs and costs memory; no subprotocol; no token by the address, which lands in logs."""
    options = {"compression": "deflate", "subprotocols": ["token", "graphql-ws"]}
    async with web.connect(**options) as socket:
        assert socket.protocol.extensions == []
        assert socket.subprotocol is None
    token = web.access.sign(web.link("by-address"))
    url = f"ws://127.0.0.1:{web.port}/ws/v1?token={token}"
    headers = {"Authorization": f"Bearer {API_KEY}", "Cookie": f"token={token}"}
    async with websockets.connect(
        url, origin=websockets.Origin(ORIGIN), proxy=None, additional_headers=headers
    ) as socket:
        await socket.send(json.dumps({"type": "request-qr"}))
        with pytest.raises(websockets.ConnectionClosed):
            await socket.recv()
        assert socket.close_code == 4408, "only a hello opens"
    assert token not in web.log.read_text()


@pytest.mark.parametrize(
    "origin",
    [
        *(
            "null",
            "https://onboarding.example.evil.example",
            "https://evil.example",
            "http://onboarding.example",
            "file://",
        ),
        *("https://onboarding.example:8443", "https://onboarding.example/", "HTTPS://ONBOARDING.EXAMPLE", ""),
        *("https://onboarding.example https://evil.example", "https://evil.example#https://onboarding.example"),
    ],
)
async def test_no_other_origin_opens_a_socket(web, origin):
    await _is_refused(web, origin)


async def test_no_second_origin_opens_a_socket(web):
    for first, second in (("https://evil.example", ORIGIN), (ORIGIN, "https://evil.example"), (ORIGIN, ORIGIN)):
        await _is_refused(web, f"{first}\r\nOrigin: {second}", b"HTTP/1.1 400")


async def _is_refused(web, origin, status=b"HTTP/1.1 403"):
    key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
    head = f"GET /ws/v1 HTTP/1.1\r\nHost: onboarding.example\r\nOrigin: {origin}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    answer = await said_to(web, f"{head}{key}\r\n".encode())
    assert answer.startswith(status), answer[:200]


async def test_a_compressed_frame_is_no_frame(web):
    """A bomb would be one that says it is compressed, though nobody agreed to that."""
    async with web.connect() as socket:
        await socket.send(json.dumps({"type": "hello", "token": web.access.sign(web.link())}))
        await socket.recv()
        socket.transport.write(b"\xc1\x80\x00\x00\x00\x00")  # RSV1
        async with asyncio.timeout(5):
            await socket.wait_closed()
        assert socket.close_code in {1002, 1006}


async def test_a_body_that_says_it_is_packed_is_not_unpacked(web):
    async with web.http() as http:
        answer = await http.post(
            "/api/v1/links", content=b"\x1f\x8b\x08" + b"\x00" * 60, headers={"content-encoding": "gzip"}
        )
    assert (answer.status_code, answer.headers["content-type"]) == (422, MEDIA_TYPE)


KEYED = f"Host: a\r\nAuthorization: Bearer {API_KEY}\r\n"
UPGRADE = f"Host: a\r\nOrigin: {ORIGIN}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
LEFT = {
    "in a head": f"GET /healthz HTTP/1.1\r\n{KEYED}",
    "in a body": f'POST /api/v1/links HTTP/1.1\r\n{KEYED}Content-Length: 100\r\n\r\n{{"companyId',
    "in a chunk": f"POST /api/v1/links HTTP/1.1\r\n{KEYED}Transfer-Encoding: chunked\r\n\r\n40\r\n{{",
    "before the answer": f"GET /api/v1/companies/a HTTP/1.1\r\n{KEYED}\r\n",
    "in a long wait": f"GET /api/v1/companies/a?wait=25 HTTP/1.1\r\n{KEYED}\r\n",
    "in a stream": f"GET /api/v1/events HTTP/1.1\r\n{KEYED}\r\n",
    "in a long answer": f"GET /api/v1/openapi.json HTTP/1.1\r\n{KEYED}\r\n",
    "before hello": f"GET /ws/v1 HTTP/1.1\r\n{UPGRADE}Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
}


@pytest.mark.parametrize("waits", [0, 0.2], ids=["at once", "a moment later"])
async def test_a_client_that_hangs_up_is_no_bug(redis_server, folder, waits):
    with Web.running(redis_server, folder / "web.log", LOG_LEVEL="info") as web:
        for said in LEFT.values():
            _, writer = await asyncio.open_connection("127.0.0.1", web.port)
            writer.write(said.encode())
            await writer.drain()
            await asyncio.sleep(waits)  # for the request to be under way
            writer.transport.abort()
        for link in (web.link("a"), web.link("b")):
            async with web.connect() as socket:
                await socket.send(json.dumps({"type": "hello", "token": web.access.sign(link)}))
                await asyncio.sleep(waits)  # for the conversation to be under way
                await socket.send(json.dumps({"type": "request-qr"}))
                socket.transport.abort()
        web.wait_until_its_sockets_are_gone()
        async with web.http() as http:
            assert (await http.get("/healthz")).status_code == 200
    lines = [json.loads(line) for line in web.log.read_text().splitlines() if line.startswith("{")]
    assert [line for line in lines if line["level"] in {"error", "critical"}] == []
    assert "Traceback" not in web.log.read_text()
