"""Whatever strangers and clumsy programs send, by the thousand: typed errors, no 500, nothing unhandled in the log, and no
growing memory. `FUZZ=1` sends a slice; `make chaos` sends 100,000 socket messages and 20,000 requests (`FUZZ=40`). `FUZZ_SEED`
is another stream of them.

The streams share one vocabulary, hence one file.
"""

import asyncio
import base64
import contextlib
import json
import os
import random
import socket
import urllib.parse
from typing import Any

import psutil
import pytest
import websockets

from app.http.frames import UNREAD_MS
from tests.integration.web import API_KEY, Web
from tests.waiting import until

FUZZ = float(os.environ.get("FUZZ", "1"))
SEED = int(os.environ.get("FUZZ_SEED", "7"))
MESSAGES, REQUESTS = round(2500 * FUZZ), round(500 * FUZZ)
NO_SIGNATURE = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
A_SOCKET = 20
"""Messages that one socket may send at once."""
MOST_MB = 40

WORDS: list[Any] = [
    "", " ", "qr", "code", "request-qr", "cancel", "hello", "\x00", "\u202e", "\ud83d\ude00" * 9, "a" * 3000, "../../etc/passwd",
    "8 900 123-45-67", "+79001234567", "+7900123456٧", "' OR 1=1 --", "${jndi:ldap://x}", "<script>", "company_a", "null", "%00", "\r\nX: y",
    None, True, False, 0, -1, 1.5, 1e308, 10**30, -(2**63), [], {}, [[[[[[]]]]]], {"a": {"b": {"c": None}}}, ["request-qr"], {"type": "hello"},
]  # fmt: skip
MESSAGES_OF_OURS: list[dict[str, Any]] = [
    {"type": "hello", "token": "t", "locale": "ru", "packed": True},
    {"type": "request-qr"},
    {"type": "request-pairing-code", "phoneNumber": "8 900 123-45-67", "region": "RU"},
    {"type": "cancel"},
]
BODIES: list[dict[str, Any]] = [
    {"companyId": "fuzz", "phoneNumber": "+79001234567", "locale": "ru", "ttlSeconds": 600, "companyName": "A", "returnUrl": "https://a.example"},
    {"companyId": "fuzz", "brand": {"name": "A", "accent": "#123456"}, "region": "MX", "embedOrigin": "https://a.example"},
    {"to": "+79001234567", "text": "hello"},
    {"url": "https://hooks.example/x", "secret": "whsec_AAAA", "events": ["message.sent"]},
    {"method": "qr", "phoneNumber": "+79001234567"},
]  # fmt: skip
IDS = [
    *["fuzz"] * 8,
    "fuzz.1",
    "a" * 64,
    "a" * 65,
    "..",
    ".",
    "",
    "%00",
    "%2e%2e%2f",
    "a%20b",
    "%F0%9F%98%80",
    "%ff%fe",
    "company_x",
    "-",
    "1;DROP",
]
PATHS = [
    "/", "/link", "/link?lang=x", "/healthz", "/readyz", "/metrics", "/docs", "/problems/not-linked", "/api/v1/openapi.json", "/api/v1/links",
    "/api/v1/links/{id}", "/api/v1/companies", "/api/v1/companies?limit={word}&state={word}&cursor={id}", "/api/v1/companies/{id}",
    "/api/v1/companies/{id}?wait={word}", "/api/v1/companies/{id}/session", "/api/v1/companies/{id}/attempts", "/api/v1/companies/{id}/messages",
    "/api/v1/companies/{id}/messages/{id}", "/api/v1/companies/{id}/contacts/{id}", "/api/v1/companies/{id}/webhook", "/api/v1/webhooks",
    "/api/v1/webhooks/{id}", "/api/v1/webhooks/{id}/resend", "/ws/v1", "/static/{id}", "/static/../app/main.py", "//evil.example/link",
    "http://evil.example/link", "/api/v1/../../metrics", "/api//v1/links", "/api/v1/links;x=1", "/%2e%2e/%2e%2e/etc/passwd", "*", "/embed.js",
]  # fmt: skip
METHODS = [*["GET"] * 6, *["POST"] * 6, "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "get", "X"]

COMPANY = "/api/v1/companies/fuzz"
OPERATIONS = [
    ("POST", "/api/v1/links"),
    ("POST", f"{COMPANY}/messages"),
    ("POST", f"{COMPANY}/attempts"),
    ("PUT", f"{COMPANY}/webhook"),
    ("GET", COMPANY),
    ("DELETE", f"{COMPANY}/session"),
    ("DELETE", "/api/v1/companies/{id}"),
    ("GET", f"{COMPANY}/messages/{{id}}"),
]


class Hostile:
    """Makes what nobody of ours would send."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)

    def json(self, example: dict[str, Any]) -> bytes:
        """The example, bent."""
        made: dict[str, Any] = dict(example)
        for _ in range(self.chance.randint(0, 3)):
            name = self.chance.choice([*made, "extra", "__proto__", "", "token", "type"])
            if self.chance.random() < 0.2:
                made.pop(name, None)
            else:
                made[name] = self.chance.choice(WORDS)
        text = json.dumps(made, ensure_ascii=self.chance.random() < 0.5).encode(errors="surrogatepass")
        return self.bent(text)

    def bent(self, text: bytes) -> bytes:
        """The text, bent."""
        match self.chance.randint(0, 9):
            case 0:
                return text[: self.chance.randint(0, len(text))]
            case 1:
                return text + text
            case 2:
                return text.replace(b"{", b'{"type":"cancel",', 1)
            case 3:
                return self.chance.randbytes(self.chance.randint(0, 200))
            case 4:
                at = self.chance.randint(0, len(text))
                return (
                    text[:at]
                    + self.chance.choice([b"\xff", b"\xc0\x80", b"\x00", b"NaN", b"1e999", b"\xed\xa0\x80", b"["])
                    + text[at:]
                )
            case 5:
                return b"[" * self.chance.randint(1, 2000)
            case _:
                return text

    def request(self) -> bytes:
        """A whole request."""
        method, path = self.chance.choice(METHODS), self.chance.choice(PATHS)
        if self.chance.random() < 0.5:
            method, path = self.chance.choice(OPERATIONS)
        while "{id}" in path:
            path = path.replace("{id}", self.chance.choice(IDS), 1)
        while "{word}" in path:
            word = str(self.chance.choice([one for one in WORDS if not isinstance(one, list | dict)]))[:200]
            path = path.replace("{word}", urllib.parse.quote(word.encode(errors="replace")) or "x", 1)
        if self.chance.random() < 0.1:
            path += "/" + self.chance.choice(IDS)
        body = self.json(self.chance.choice(BODIES)) if self.chance.random() < 0.6 else b""
        host = self.chance.choice(["a", "evil.example", "127.0.0.1:1", "[::1]", "a:99999", "-"])
        key = self.chance.choice(
            [f"Bearer {API_KEY}"] * 8
            + ["Bearer x", "Basic YTpi", "Bearer", f"bearer  {API_KEY}", "Bearer " + "x" * 5000]
        )
        headers = [
            f"Host: {host}",
            f"Authorization: {key}",
            f"Content-Length: {len(body)}",
            "Connection: close",
            self.chance.choice(["Content-Type: application/json", "Content-Type: text/html", "X-A: b"]),
            self.chance.choice(["Idempotency-Key: k1", "Idempotency-Key: " + "k" * 300, "X-Forwarded-For: 1.2.3.4, rubbish", "X-Forwarded-For: ,,,"]),
            self.chance.choice(["If-None-Match: *", "Last-Event-ID: x", "X-Request-Id: " + "a" * 100, "Accept-Encoding: gzip, br, zstd;q=2", "Range: bytes=0-"]),
        ]  # fmt: skip
        line = f"{method} {path} HTTP/1.1"
        return "\r\n".join([line, *headers, "", ""]).encode("latin-1", errors="replace") + body


def memory_mb(web: Web) -> float:
    return psutil.Process(web.process.pid).memory_info().rss / 2**20


@pytest.fixture
def alone(redis_server, folder):
    """A web process of this test, with its log."""
    with Web.running(redis_server, folder / "web.log", LOG_LEVEL="info") as web:
        yield web
        log = web.log.read_text(errors="replace")
        bad = [line for line in log.splitlines() if "Traceback" in line or '"level": "error"' in line]
        assert not bad, bad[0]


@pytest.mark.timeout(3600)
async def test_no_message_on_a_socket_is_more_than_refused(alone):
    hostile, before, sent, ended = Hostile(SEED), 0.0, 0, dict[int | None, int]()

    async def one_socket(number: int) -> None:
        nonlocal sent
        token = alone.access.sign(alone.link(f"fuzz-{number % 50}"))
        head, claims, sign = token.split(".")
        forged = f"{NO_SIGNATURE}.{claims}."
        hello = hostile.chance.choices([token, forged, f"{head}.{claims}.{sign[::-1]}", None], [8, 1, 1, 1])[0]
        async with alone.connect(ping_interval=None, close_timeout=2) as socket:
            with contextlib.suppress(websockets.ConnectionClosed):
                if hello is not None:
                    await socket.send(json.dumps({"type": "hello", "token": hello}))
                for _ in range(A_SOCKET):
                    said = hostile.json(hostile.chance.choice(MESSAGES_OF_OURS))
                    sent += 1
                    await socket.send(said, text=hostile.chance.random() < 0.9)
                async with asyncio.timeout(0.2):
                    while True:
                        await socket.recv()
            await socket.close()
        ended[socket.close_code] = ended.get(socket.close_code, 0) + 1

    async def many(first: int, count: int) -> None:
        for start in range(first, first + count, 10):
            results = await asyncio.gather(
                *(one_socket(number) for number in range(start, start + 10)), return_exceptions=True
            )
            odd = [one for one in results if isinstance(one, Exception) and not isinstance(one, TimeoutError)]
            assert not odd, odd[0]

    sockets = MESSAGES // A_SOCKET + 1
    await many(0, max(10, sockets // 5))
    before = memory_mb(alone)
    await many(sockets // 5, sockets - sockets // 5)
    assert sent >= MESSAGES * 0.9
    assert memory_mb(alone) - before < MOST_MB
    assert set(ended) <= {1000, 1003, 1005, 1006, 1007, 1008, 1009, 1002, 4401, 4408, 4429, None}, ended
    async with alone.tab(alone.link("afterwards")) as tab:  # it still serves
        await tab.say("request-qr")
        await tab.snapshot(state="queued")


@pytest.mark.timeout(3600)
async def test_no_request_is_answered_with_our_fault(alone):
    hostile, statuses = Hostile(SEED + 1), dict[int, int]()

    async def one_request() -> None:
        request = hostile.request()
        reader, writer = await asyncio.open_connection("127.0.0.1", alone.port)
        try:
            writer.write(request)
            async with asyncio.timeout(15):
                answer = await reader.read(1 << 20)
        except ConnectionError:
            answer = b""
        finally:
            writer.close()
        status = int(answer[9:12]) if answer.startswith(b"HTTP/1.1 ") else 0
        statuses[status] = statuses.get(status, 0) + 1
        assert status != 500, request
        assert b"Traceback" not in answer
        assert b"uvicorn" not in answer.lower()
        assert b"starlette" not in answer.lower()

    async def many(count: int) -> None:
        for _ in range(0, count, 10):
            await asyncio.gather(*(one_request() for _ in range(10)))

    await many(REQUESTS // 5)
    before = memory_mb(alone)
    await many(REQUESTS - REQUESTS // 5)
    assert memory_mb(alone) - before < MOST_MB
    assert statuses.get(200, 0) > REQUESTS / 50, statuses
    assert statuses.get(422, 0) > REQUESTS / 20, statuses
    assert {one for one in statuses if one >= 500} <= {503}, statuses


@pytest.mark.skipif(FUZZ <= 1, reason="half a minute, in make chaos")
async def test_who_reads_nothing_or_a_little_now_and_then_is_gone_after_half_a_minute(alone):
    request = f"GET /api/v1/openapi.json HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {API_KEY}\r\n\r\n".encode()
    with contextlib.ExitStack() as open_:
        deaf, slow = (open_.enter_context(socket.socket()) for _ in range(2))
        for one in (deaf, slow):
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            one.connect(("127.0.0.1", alone.port))
            one.sendall(request * 40)
        await until(lambda: len(callers_of(alone)) == 2)

        def gone():
            with contextlib.suppress(ConnectionError):
                slow.recv(64)  # so much that the kernel is content
            return not callers_of(alone)

        await until(gone, UNREAD_MS / 1000 + 15)


def callers_of(web: Web) -> list[Any]:
    open_ = psutil.Process(web.process.pid).net_connections("tcp4")
    return [one for one in open_ if one.status == "ESTABLISHED" and one.laddr.port == web.port]
