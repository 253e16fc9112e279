"""The whole service on Postgres: real worker processes, each with a folder of its own, as on hosts that keep no disk."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.e2e.processes import ROOT, Service, program, signal_all, words
from tests.e2e.stack import Stack
from tests.postgres.conftest import POOL
from tests.waiting import until


@pytest.fixture
async def stack(emulator, redis_server, postgres, database, bouncer, folder):
    environment = {"DATABASE_URL": postgres.url(database), "DATABASE_POOL": str(POOL)}
    async with Stack.running(emulator, redis_server, folder / "first", **environment) as stack:
        yield stack


async def test_a_session_moves_to_a_worker_on_another_host(stack, emulator, postgres, database, folder):
    link, number = await stack.linked()
    phone = number.lstrip("+")
    await stack.worker.said("session.logged-in", session=link["session"])  # the first login was its linker's
    assert list((folder / "first").rglob("*.sqlite3")) == []
    assert await postgres.connections(database) <= POOL
    before = await emulator.now()
    first = stack.worker
    await first.kill()
    await stack.start_worker(DATA_DIR=str(folder / "second"))
    await emulator.wait_for("device.connected", after=before, phone=phone)
    answer = await stack.http.post(
        f"/api/v1/companies/{link['company']}/messages", json={"to": "+79161234567", "text": "Elsewhere."}
    )
    assert answer.status_code == 202
    await emulator.wait_for("message.received", after=before, phone=phone)
    assert await postgres.connections(database) <= POOL


async def test_pgbouncer_goes_with_its_worker_even_with_a_killed_one(stack):
    [own] = [one for one in stack.worker.children() if program(one) == "pgbouncer"]
    # Its password is nowhere: not on its command line, not in its environment, not in a file that it has open.
    assert "p%40ss" not in " ".join(own.cmdline())
    assert all("pgbouncer.ini" not in file.path for file in own.open_files())
    await stack.worker.kill()
    _, alive = await asyncio.to_thread(psutil.wait_procs, [own], 5)
    assert alive == []
    [left] = Path(stack.environment["TMPDIR"]).glob("wa-pool-*")
    await stack.start_worker()
    assert not left.exists()


async def test_a_session_waits_for_postgres_and_is_then_held(stack, emulator, postgres, folder):
    link, number = await stack.linked()
    phone = number.lstrip("+")
    await stack.worker.said("session.logged-in", session=link["session"])
    await stack.worker.stop()
    before = await emulator.now()
    await asyncio.to_thread(postgres.stop)
    starting = asyncio.create_task(stack.start_worker())
    holders = psutil.Process()
    await until(lambda: any("workers.main" in words(one) for one in holders.children()))
    await asyncio.to_thread(postgres.start)
    worker = await starting
    await worker.said("store.opened")
    await emulator.wait_for("device.connected", after=before, phone=phone)
    assert (await stack.company(link))["state"] in {"linked", "reconnecting"}


async def test_when_holders_die_while_postgres_is_away_sessions_come_back_with_it(stack, emulator, postgres):
    links = [await stack.linked() for _ in range(2)]
    for link, _ in links:
        await stack.worker.said("session.logged-in", session=link["session"])
    await asyncio.to_thread(postgres.stop)
    before = await emulator.now()
    signal_all(stack.worker.engines(), signal.SIGKILL)
    await stack.worker.said("store.away", seconds=30)
    await asyncio.to_thread(postgres.start)
    await stack.worker.said("store.back", seconds=60)
    for _, number in links:
        await emulator.wait_for("device.connected", after=before, phone=number.lstrip("+"))
    for link, _ in links:
        await until(lambda link=link: state_is(stack, link, "linked"))


async def state_is(stack: Stack, link: dict, state: str) -> bool:
    return (await stack.company(link))["state"] == state


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("postgres://u:secret@127.0.0.1/db?search_path=wa", "names a schema (search_path)"),
        ("mysql://u:secret@127.0.0.1/db", "must begin with postgres://"),
    ],
)
def test_a_database_url_that_cannot_be_used_ends_the_worker_with_a_sentence(url, says, redis_server, folder):
    environment = {
        "DATABASE_URL": url,
        "REDIS_URL": redis_server,
        "DATA_DIR": str(folder),
        "SECRET_KEY": "s" * 32,
        "API_KEYS": "k" * 32,
    }
    command = [sys.executable, "-m", "workers.main"]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=os.environ | environment, timeout=60)
    said = ended.stdout + ended.stderr
    assert ended.returncode == 2
    assert says in said
    assert "secret" not in said
    assert "Traceback" not in said


async def test_a_worker_that_waits_for_postgres_ends_at_sigterm(redis_server, folder):
    environment = {
        "DATABASE_URL": "postgres://u:secret@127.0.0.1:1/db",
        "REDIS_URL": redis_server,
        "DATA_DIR": str(folder),
        "SECRET_KEY": "s" * 32,
        "API_KEYS": "k" * 32,
    }
    worker = await Service.start("workers.main", environment, until="store.unreachable")
    assert await worker.stop() == 0
