"""The integrator's and the operator's HTTP: problems are RFC 9457, answers are kept by nobody, headers keep the page to itself."""

import asyncio
import json

import httpx
import pytest

from app.http.problems import MAX_BODY_BYTES
from shared.core import keys
from shared.core.clock import now_ms
from shared.core.ids import SessionId
from shared.core.lifecycle import State
from tests.integration.web import API_KEY, ORIGIN
from tests.unit.world import SESSION, World, change
from tests.waiting import until

LINKS = "/api/v1/links"


async def test_a_link_is_made_and_its_token_opens_the_socket(web):
    async with web.http() as http:
        answer = await http.post(LINKS, json={"companyId": "salon-7", "phoneNumber": "8 900 123-45-67", "locale": "ru"})
    assert answer.status_code == 201
    made = answer.json()
    # The language stands in the address, so that the first paint is in it; the token only behind the #.
    assert made["url"] == f"{ORIGIN}/link?lang=ru#{made['token']}"
    assert abs(made["expiresAt"] - now_ms() - 24 * 3600 * 1000) < 60_000
    async with web.tab(made["token"]) as tab:
        assert tab.seen[0]["snapshot"]["sessionId"] == "company_salon-7"
        assert tab.seen[0]["profile"]["phoneHint"] == "+79001234567"


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"", 422, ""),
        (b"rubbish", 422, ""),
        (b"[]", 422, ""),
        (b"[" * 5000, 422, ""),
        (b"\xff\xfe", 422, ""),
        (b"{}", 422, "companyId"),
        (b'{"companyId":"a b"}', 422, "companyId"),
        (b'{"companyId":"../x"}', 422, "companyId"),
        (b'{"companyId":7}', 422, "companyId"),
        (b'{"companyId":"a","ttlSeconds":59}', 422, "ttlSeconds"),
        (b'{"companyId":"a","ttlSeconds":604801}', 422, "ttlSeconds"),
        (b'{"companyId":"a","ttlSeconds":"soon"}', 422, "ttlSeconds"),
        (b'{"companyId":"a","locale":"x_y"}', 422, "locale"),
        (b'{"companyId":"a","returnUrl":"javascript:alert(1)"}', 422, "returnUrl"),
        (b'{"companyId":"a","phoneNumber":"8900"}', 422, "phoneNumber"),
        (b'{"companyId":"a","companyName":""}', 422, "companyName"),
        (b'{"companyId":"a","surprise":1}', 422, "surprise"),
        (b'{"companyId":"' + b"a" * MAX_BODY_BYTES + b'"}', 413, None),
    ],
    ids=lambda one: str(one)[:40],
)
async def test_a_bad_request_is_a_problem_that_names_its_field(web, body, status, field):
    async with web.http() as http:
        answer = await http.post(LINKS, content=body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert {"type", "title", "status", "detail"} <= problem.keys()
    assert problem["status"] == status
    assert problem.get("field") == field
    assert "pydantic" not in answer.text
    assert "8900" not in answer.text


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", LINKS),
        ("DELETE", f"{LINKS}/x"),
        ("GET", "/api/v1/companies/a"),
        ("DELETE", "/api/v1/companies/a/session"),
        ("POST", "/api/v1/companies/a/messages"),
        ("GET", "/metrics"),
    ],
)
@pytest.mark.parametrize("key", [None, "wrong-key-of-somebody"])
async def test_nothing_of_the_integrators_is_had_without_an_api_key(web, method, path, key):
    async with web.http(key) as http:
        answer = await http.request(method, path, content=b"{}")
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/nothing", 404),
        ("PUT", LINKS, 405),
        ("GET", "/api/v1/companies/a%20b", 404),
        ("DELETE", f"{LINKS}/{'x' * 65}", 404),
    ],
)
async def test_what_there_is_not_is_a_problem_too(web, method, path, status):
    async with web.http() as http:
        answer = await http.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status


async def test_a_revoked_link_opens_nothing(web):
    link = web.link()
    async with web.http() as http:
        for _ in range(2):
            assert (await http.delete(f"{LINKS}/{link.id}")).status_code == 204
    async with web.connect() as socket:
        await socket.send(json.dumps({"type": "hello", "token": web.access.sign(link)}))
        await socket.wait_closed()
        assert socket.close_code == 4401


async def test_a_companys_state_is_told_without_what_only_the_owner_may_see(web, redis):
    body = {
        "state": "awaiting_phone",
        "qr": {"text": "2@secret", "svg": "<svg/>", "number": 1, "of": 6, "expiresAt": 1},
        "code": {"text": "ABCD-EFGH", "expiresAt": 1, "phone": "+7"},
    }
    await redis.hset(keys.snapshot(SessionId("company_a")), mapping={"attempt": 5, "seq": 2, "body": json.dumps(body)})
    async with web.http() as http:
        answer = await http.get("/api/v1/companies/a")
    assert answer.status_code == 200
    assert answer.json()["state"] == "awaiting_phone"
    assert not {"qr", "code"} & answer.json().keys()


async def test_a_long_poll_is_answered_when_something_is_new_and_not_before(web, redis):
    world = World(redis)
    lease = await world.serve()
    async with web.http() as http:
        path = f"/api/v1/companies/{SESSION.removeprefix('company_')}"
        known = {"if-none-match": (await http.get(path)).headers["etag"]}
        waiting = asyncio.create_task(http.get(path, params={"wait": 25}, headers=known))
        await until(lambda: has_listener(redis))
        assert not waiting.done()
        await world.snapshots.save(lease, change(State.AWAITING_PHONE))
        async with asyncio.timeout(10):  # far less than the wait
            assert (await waiting).json()["state"] == "awaiting_phone"
        nothing = await http.get(path, params={"wait": 1}, headers={"if-none-match": (await waiting).headers["etag"]})
        assert (nothing.status_code, nothing.content) == (304, b"")
        assert "wa_sockets 0.0" in (await http.get("/metrics")).text


async def has_listener(redis):
    return (await redis.pubsub_numsub(keys.events(SESSION)))[0][1]


async def test_a_message_for_a_company_without_a_device_is_refused(web, redis):
    async with web.http() as http:
        answer = await http.post("/api/v1/companies/a/messages", json={"to": "+79001234567", "text": "hello"})
    assert answer.status_code == 409
    assert await redis.keys("wa:subject:*") == []


async def test_a_message_in_the_midst_of_a_hand_over_follows_its_session(web, redis):
    body = json.dumps({"state": "reconnecting"})
    await redis.hset(keys.snapshot(SessionId("company_a")), mapping={"attempt": 5, "seq": 2, "body": body})
    async with web.http() as http:
        answer = await http.post("/api/v1/companies/a/messages", json={"to": "+79001234567", "text": "hello"})
    assert answer.status_code == 202
    assert await redis.zrange(keys.QUEUE_SESSIONS, 0, -1) == [f"send:{answer.json()['id']}".encode()]


@pytest.mark.parametrize("path", [LINKS, "/api/v1/companies/a", "/api/v1/nothing"])
async def test_nobody_keeps_what_concerns_one_company_only(web, path):
    async with web.http() as http:
        answer = await (http.post(path, json={"companyId": "a"}) if path == LINKS else http.get(path))
    assert answer.headers["cache-control"] == "no-store"


async def test_the_page_keeps_to_itself(web):
    async with web.http(None) as http:
        answer = await http.get("/link")
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert {"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"} <= {
        part.strip() for part in policy.split(";")
    }
    assert "unsafe" not in policy
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "server" not in answer.headers


@pytest.mark.parametrize(
    "path",
    ["/static/../app/main.py", "/static/%2e%2e/app/main.py", "/static/..%2fapp%2fmain.py", "//etc/passwd", "/states"],
)
async def test_no_other_file_is_served(web, path):
    reader = httpx.Request("GET", web.url, extensions={"target": path.encode()})
    async with web.http(None) as http:
        assert (await http.send(reader)).status_code in {404, 307}


async def test_metrics_are_for_holders_of_a_key(web):
    async with web.http() as http, web.tab():
        text = (await http.get("/metrics")).text
    assert "wa_sockets 1.0" in text
    assert "wa_attempts_total" in text


async def test_it_is_alive_and_not_ready_without_a_worker_and_ready_with_one(web, redis):
    async with web.http(None) as http:
        assert (await http.get("/healthz")).status_code == 200
        unready = await http.get("/readyz")
        assert (unready.status_code, unready.json()["redis"]) == (503, "ok")
        assert unready.json()["workers"] != "ok"
        await redis.zadd(keys.WORKERS, {"w": now_ms()})
        assert (await http.get("/readyz")).status_code == 200
        await redis.zadd(keys.WORKERS, {"w": now_ms() - 60_000})
        assert (await http.get("/readyz")).status_code == 503


@pytest.mark.parametrize(
    "path", ["/link/", "/api/v1/links/", "/api/v1/companies/a/", "/readyz/", "/healthz/", "/api/v1/"]
)
async def test_an_address_has_one_form(web, path):
    async with web.http() as http:
        for method in ("GET", "POST"):
            assert (await http.request(method, path)).status_code == 404


async def test_a_client_that_hangs_up_is_no_bug(web):
    head = (
        f"POST {LINKS} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {API_KEY}\r\n"
        "content-type: application/json\r\ncontent-length: 100\r\n\r\n{"
    )
    _reader, writer = await asyncio.open_connection("127.0.0.1", web.port)
    writer.write(head.encode())
    await writer.drain()
    writer.close()
    await until(lambda: "api.hung-up" in web.log.read_text())
    assert "Traceback" not in web.log.read_text()
    assert "operation.crashed" not in web.log.read_text()
