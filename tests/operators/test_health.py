"""What says that something is ill: /healthz, /readyz, the worker's report, one line for each ending."""

import signal

import pytest

from app.local.redis import LocalRedis
from shared import VERSION
from shared.core import keys
from shared.telemetry.metrics import ENGINE
from tests.e2e.stack import Stack, new_number
from tests.waiting import until

pytestmark = [pytest.mark.asyncio(loop_scope="session")]


async def test_readyz_names_the_part_that_is_ill(own: Stack, own_redis: LocalRedis) -> None:
    well = {"status": "ok", "redis": "ok", "workers": "ok", "store": "ok", "client": "ok", "clock": "ok"}
    await until(lambda: is_ready(own, well))
    await own.redis.config_set("maxmemory", "1mb")
    answer = await own.http.get("/readyz")
    assert (answer.status_code, answer.json()["redis"]) == (503, "Redis is full and takes no writes (OOM)")
    made = await own.http.delete("/api/v1/companies/aurora/session")
    assert (made.status_code, made.json()["title"]) == (503, "Redis is away")
    await own.redis.config_set("maxmemory", "0")
    (worker,) = await own.redis.zrange(keys.WORKERS, 0, -1)

    async def store_is_told_away() -> bool:
        await own.redis.hset(f"wa:worker:{worker.decode()}", "store", "away")  # until the worker reports again
        answer = await own.http.get("/readyz")
        return (answer.status_code, answer.json()["store"]) == (503, "away from every worker")

    await until(store_is_told_away)
    await own.workers[0].stop()
    answer = await own.http.get("/readyz")
    assert (answer.status_code, answer.json()["workers"]) == (503, "none alive")
    own_redis.process.send_signal(signal.SIGSTOP)
    try:
        answer = await own.http.get("/readyz", timeout=60)
        assert answer.status_code == 503
        unknown = dict.fromkeys(("workers", "store", "client"), "unknown") | {"clock": "ok"}
        assert answer.json() == {"status": "ill", "redis": "does not answer", **unknown}
        assert (await own.http.get("/healthz")).json()["status"] == "ok"
    finally:
        own_redis.process.send_signal(signal.SIGCONT)


async def test_a_worker_reports_its_version_load_and_memory(own: Stack) -> None:
    await own.linked()
    report = await until(lambda: _report(own, sessions=b"1", attempts=b"0"))  # it reports every 10 s
    told = {name.decode(): value.decode() for name, value in report.items()}
    assert (told["version"], told["engine"], told["store"]) == (VERSION, ENGINE, "ok")
    assert int(told["maxAttempts"]) > 0
    assert int(told["processes"]) >= 3  # itself, the zygote, the holder
    assert 30 < int(told["memoryMB"]) < 500
    assert int(told["lagMs"]) < 5000


async def test_every_attempt_and_every_session_ends_with_one_canonical_line(own: Stack) -> None:
    link, number = await own.linked()
    ended = await own.worker.said("attempt.ended", session=link["session"])
    known = {name: ended[name] for name in ("state", "left", "method", "region", "failure", "restarts", "engine")}
    assert known == {
        "state": "linked",
        "left": "linking",
        "method": "qr",
        "region": "RU",
        "failure": None,
        "restarts": 0,
        "engine": ENGINE,
    }
    assert ended["ms"] > 0
    await own.worker.said("session.logged-in", session=link["session"])
    await own.emulator.phone(number).logout()
    gone = await own.worker.said("session.ended", session=link["session"])
    assert gone["failure"] == "dropped-after-linking"
    other = await own.link()
    async with own.socket(other) as socket:
        await own.emulator.arm("connect-refused", tag=own.tag, status=405)
        await socket.send("request-pairing-code", phoneNumber=new_number())
        await socket.state("failed")
    failed = await own.worker.said("attempt.ended", session=other["session"])
    assert (failed["failure"], failed["method"], failed["level"]) == ("client-outdated", "code", "warning")
    lines = [one for one in own.worker.lines if one["event"] in {"attempt.ended", "session.ended"}]
    assert len(lines) == 3


async def is_ready(stack: Stack, wanted: dict[str, str]) -> bool:
    return (await stack.http.get("/readyz")).json() == wanted


async def _report(stack: Stack, **wanted: bytes) -> dict[bytes, bytes]:
    (worker,) = await stack.redis.zrange(keys.WORKERS, 0, -1)
    found = await stack.redis.hgetall(f"wa:worker:{worker.decode()}")
    return found if all(found.get(name.encode()) == value for name, value in wanted.items()) else {}
