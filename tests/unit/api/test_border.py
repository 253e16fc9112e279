"""Every request has an id, every write and every refused key is on record, and no key is in either."""

import pytest
from starlette.requests import Request
from structlog.testing import capture_logs

from app.http.border import WRONG_KEYS
from app.http.problems import http_problem
from shared.core import keys
from shared.core.apikeys import Scope
from shared.core.clock import now_ms
from shared.core.ids import WorkerId
from shared.telemetry.metrics import Counter, field
from tests.unit.api.config import NARROW

KEY = NARROW[Scope.LINKS]
WRONG = "a-wrong-key-of-somebody"


def bearing(key, **more):
    return {"headers": {"authorization": f"Bearer {key}"} | more}


@pytest.fixture
def web(web):
    """A client without a key."""
    del web.headers["authorization"]
    return web


async def make(web, key=KEY, **more):
    return await web.post("/api/v1/links", json={"companyId": "a"}, **bearing(key, **more))


@pytest.mark.parametrize(
    "path", ["/api/v1/companies/a", "/api/v1/nothing", "/healthz", "/docs", "/api/v1/openapi.json"]
)
async def test_every_answer_has_a_request_id_and_a_problem_names_it(web, path):
    first, second = [await web.get(path) for _ in range(2)]
    assert first.headers["x-request-id"] != second.headers["x-request-id"]
    if first.status_code >= 400:
        assert first.json()["requestId"] == first.headers["x-request-id"]


async def test_answers_with_files_of_the_page_have_no_request_id(web):
    assert "x-request-id" not in (await web.get("/link")).headers


async def test_the_routers_request_id_is_kept_and_a_strange_one_is_not(web):
    given = "b7b6a1f0-0000-4000-8000-000000000000"
    assert (await make(web, **{"x-request-id": given})).headers["x-request-id"] == given
    for strange in ("x", "a b c d e f g h", "y" * 65, "<script>alert</script>"):
        assert (await make(web, **{"x-request-id": strange})).headers["x-request-id"].startswith("req_")


async def test_the_answer_to_a_bug_has_its_request_id_too(web, monkeypatch):
    monkeypatch.setattr("app.api.links.make_link", lambda *_: 1 / 0)
    answer = await make(web)
    assert answer.status_code == 500
    assert answer.json()["requestId"] == answer.headers["x-request-id"]


async def test_a_write_is_on_record_with_the_name_of_its_key(web, redis):
    with capture_logs() as lines:
        answer = await make(web)
    (line,) = [one for one in lines if one["event"] == "api.write"]
    assert (line["key"], line["operation"], line["status"]) == ("only-links", "create_link", answer.status_code)
    counted = field(Counter.API_WRITES, operation="create_link", key="only-links", status="201")
    assert await redis.hget(keys.STATS, counted) == b"1"
    assert KEY not in str(lines)


async def test_a_refused_key_is_counted_and_logged_without_the_key(web, redis):
    with capture_logs() as lines:
        assert (await make(web, WRONG)).status_code == 401
        assert (await web.post("/api/v1/links", json={})).status_code == 401
        assert (await web.get("/metrics", **bearing(KEY))).status_code == 403
    assert [one["why"] for one in lines if one["event"] == "api.key-refused"] == ["wrong", "none", "scope"]
    for reason in ("wrong", "none", "scope"):
        assert await redis.hget(keys.STATS, field(Counter.API_REFUSED, reason=reason)) == b"1"
    assert WRONG not in str(lines)
    assert KEY not in str(lines)


async def test_many_wrong_keys_are_told_to_wait_and_the_right_one_is_let_in_all_the_same(web):
    for _ in range(WRONG_KEYS):
        assert (await make(web, WRONG)).status_code == 401
    told = await make(web, WRONG)
    assert (told.status_code, told.json()["type"]) == (429, "/problems/too-many-wrong-keys")
    assert 0 < int(told.headers["retry-after"]) <= 61
    assert (await make(web)).status_code == 201


async def test_a_write_is_answered_even_if_redis_cannot_count_it(web, monkeypatch):
    async def away(*_):
        raise ConnectionError

    monkeypatch.setattr("arq.connections.ArqRedis.hincrby", away)
    assert (await make(web)).status_code == 201


async def test_strangers_hear_that_a_clock_is_wrong_and_not_on_which_host(web, redis):
    worker = WorkerId("host-17-42-abc")
    await redis.zadd(keys.WORKERS, {worker: now_ms()})
    await redis.set(keys.alive(worker), 1)
    await redis.hset(keys.worker(worker), mapping={"clockMs": 30_000})
    answer = await web.get("/readyz")
    assert answer.json()["clock"] == "a worker is 30 s ahead"
    assert worker not in answer.text


@pytest.mark.parametrize("path", ["/api/v1/links", "/link"])
async def test_after_a_bug_the_connection_is_closed(path):
    answer = await http_problem(Request({"type": "http", "path": path, "headers": []}), RuntimeError("with a secret"))
    assert answer.status_code == 500
    assert answer.headers["connection"] == "close"
    assert "secret" not in bytes(answer.body).decode()
