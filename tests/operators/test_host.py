"""A Heroku-style host runs a fresh clone as it is: its rules are imitated, and nothing is lost by a daily restart."""

import asyncio
import re
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from app.local.redis import free_port
from app.release import redis as checks_of_redis
from bench.postgres import Postgres
from emulator.client import Emulator
from shared.settings import Settings
from tests.chaos.servers import server
from tests.e2e.fixtures import a_postgres
from tests.e2e.stack import API_KEY, Stack, new_number
from tests.operators.host import DYNO_BYTES, ROOT, Dyno, checkout, procfile, tls_redis
from tests.operators.test_health import is_ready
from tests.waiting import until

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.postgres]


@pytest.fixture(scope="module")
def database(nothing_left_behind: None) -> Iterator[Postgres]:
    """The host's Postgres."""
    with a_postgres() as server:
        yield server


@pytest_asyncio.fixture(loop_scope="session")
async def environment(emulator: Emulator, database: Postgres) -> AsyncIterator[dict[str, str]]:
    """What the host gives: a port, addresses of its add-ons, and what app.json asks for."""
    with tls_redis() as redis_url:
        if redis_url is None:
            pytest.skip("NO TLS in this machine's redis-server")
        port = free_port()
        yield {
            **emulator.client_env(tag="host"),
            "PORT": str(port),
            "REDIS_URL": redis_url,
            "REDIS_TLS_VERIFY": "false",
            "DATABASE_URL": database.url(await database.database()),
            "SECRET_KEY": "a-secret-for-tests-that-is-long-enough",
            "API_KEYS": API_KEY,
            "PUBLIC_URL": f"http://127.0.0.1:{port}",
            "MAX_SESSIONS": "150",
            "MAX_ATTEMPTS": "8",
        }


@pytest.fixture
def disk() -> Iterator[Path]:
    """Where the host puts checkouts; each lives as long as its dynos."""
    folder = Path(tempfile.mkdtemp(prefix="host-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="NO git history here to clone")
async def test_a_fresh_clone_serves_survives_the_daily_restart_and_stays_below_its_memory(
    environment: dict[str, str], emulator: Emulator, disk: Path
) -> None:
    first = checkout(disk / "one")
    release = await asyncio.to_thread(_release, first, environment)
    assert release.returncode == 0, release.stdout + release.stderr
    assert "This can go live." in release.stdout

    web, worker = await _boot(first, environment)
    stack = await _outside(environment, emulator)
    link = await stack.link()
    number = new_number()
    async with stack.socket(link) as socket:
        await socket.send("request-qr")
        shown = await socket.snapshot(lambda s: "qr" in s)
        await emulator.phone(number).scan(shown["qr"]["text"])
        await socket.state("linked")
    await worker.service.said("session.logged-in", session=link["session"])
    parts = ("status", "redis", "workers", "store", "client", "clock")
    await until(lambda: is_ready(stack, dict.fromkeys(parts, "ok")))

    before = await emulator.now()
    stops = await asyncio.gather(web.restart_daily(), worker.restart_daily())
    shutil.rmtree(first)  # the disk is gone with the dyno
    assert [code for code, _ in stops] in ([-15, 0], [0, 0]), stops
    second = checkout(disk / "two")
    web_again, worker_again = await _boot(second, environment)
    await emulator.wait_for("device.connected", after=before, phone=number.lstrip("+"), seconds=40)
    async with stack.socket(link) as socket:
        if socket.seen[-1]["snapshot"]["state"] != "linked":
            await socket.state("linked")
    answer = await stack.http.post(
        f"/api/v1/companies/{link['company']}/messages", json={"to": "+79161234567", "text": "Still here."}
    )
    assert answer.status_code == 202
    await emulator.wait_for("message.received", after=before, phone=number.lstrip("+"))
    await asyncio.gather(web_again.restart_daily(), worker_again.restart_daily())
    peaks = {"web": max(web.peak, web_again.peak), "worker": max(worker.peak, worker_again.peak)}
    assert all(0 < peak < DYNO_BYTES for peak in peaks.values()), peaks
    await stack.http.aclose()
    await stack.redis.aclose()


async def test_a_release_that_cannot_go_live_says_why(environment: dict[str, str], disk: Path) -> None:
    good = await asyncio.to_thread(_release, ROOT, environment)
    assert good.returncode == 0, good.stdout
    assert re.search(r"^ok +each worker reaches Postgres|^warning no pgbouncer", good.stdout, re.MULTILINE), good.stdout
    for change, code, sentence in (
        ({"REDIS_TLS_VERIFY": "true"}, 1, "which REDIS_TLS_VERIFY=false accepts"),
        ({"REDIS_URL": "redis://127.0.0.1:1/0"}, 1, "REDIS_URL: Redis cannot be reached"),
        ({"PUBLIC_URL": ""}, 1, "PUBLIC_URL is missing"),
        ({"PUBLIC_URL": "http://onboarding.example"}, 1, "in the clear"),
        ({"PLATFORM_NAME": ""}, 0, "PLATFORM_NAME is missing"),
        ({"RETURN_ORIGINS": "https://a.example"}, 0, "WEBHOOK_SECRET is missing"),
        ({"SECRET_KEY": "short"}, 2, "SECRET_KEY is shorter"),
        ({"DATABASE_URL": environment["DATABASE_URL"] + "?search_path=x"}, 1, "DATABASE_URL"),
        ({"DATABASE_URL": "", "DATA_DIR": str(disk / "devices")}, 0, "the workers' disk must survive restarts"),
    ):
        done = await asyncio.to_thread(_release, ROOT, environment | change)
        assert done.returncode == code, (change, done.stdout, done.stderr)
        assert sentence in done.stdout + done.stderr, (change, done.stdout)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--cluster-enabled", "yes"), "Redis is a cluster, which is not supported"),
        (("--replicaof", "127.0.0.1", "1"), "Redis is a replica and takes no writes"),
        (("--maxmemory", "50mb", "--maxmemory-policy", "allkeys-lru"), "Redis throws keys away when it is full"),
    ],
)
async def test_a_redis_that_cannot_serve_is_refused_before_it_goes_live(
    options: tuple[str, ...], sentence: str
) -> None:
    with server(*options) as one:
        said = await checks_of_redis(
            Settings.model_validate({"secret_key": "s" * 40, "api_keys": "k" * 20, "redis_url": one.url})
        )
    assert [check.what.partition(":")[0].partition(" (")[0] for check in said if check.kind == "error"] == [sentence]


def _release(folder: Path, environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    import os
    import sys

    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {"PATH": path, "TMPDIR": os.environ["TMPDIR"], "WA_TEST_RUN": os.environ["WA_TEST_RUN"], **environment}
    return subprocess.run(
        ["sh", "-c", procfile(folder)["release"]], cwd=folder, env=env, capture_output=True, text=True, timeout=60
    )


async def _boot(folder: Path, environment: dict[str, str]) -> tuple[Dyno, Dyno]:
    lines = procfile(folder)
    web = await Dyno.start(lines["web"], folder, environment, until="web.started")
    worker = await Dyno.start(lines["worker"], folder, environment, until="worker.started")
    return web, worker


async def _outside(environment: dict[str, str], emulator: Emulator) -> Stack:
    """The service as its users see it."""
    stack = Stack.__new__(Stack)
    stack.emulator, stack.tag, stack.port = emulator, "host", int(environment["PORT"])
    stack.url = environment["PUBLIC_URL"]
    stack.redis = Redis.from_url(environment["REDIS_URL"], ssl_cert_reqs="none")
    stack.http = stack.another_client()
    return stack
