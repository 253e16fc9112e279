"""What is ill, and what a repair has put right; a host whose kernel does not hold engine processes is no illness."""

import io
from typing import Any

import pytest
from pydantic import SecretStr
from rich.console import Console

from app.cli import doctor, terminal
from app.cli.doctor import _confinement
from app.cli.terminal import Operator
from app.ops.gauges import Moment, WorkerView
from shared.core import keys
from shared.core.ids import WorkerId
from shared.core.lifecycle import State
from shared.settings import Settings
from tests.unit.world import ONE


@pytest.mark.parametrize(
    ("fields", "lacking"),
    [
        ({"held": "landlock 6, seccomp"}, None),
        ({"held": "seccomp"}, "without landlock"),
        ({"held": ""}, "without landlock and seccomp"),
        ({"held": "unknown"}, None),  # its first engine process is still on its way
        ({}, None),  # an older version
    ],
)
def test_only_a_worker_that_reports_missing_confinement_is_named(fields, lacking):
    worker = WorkerView(WorkerId("w1"), 0, fields)
    moment = Moment({}, 0, 0, 0, 0, 0, [worker])
    found = list(_confinement(moment))
    assert [one.detail for one in found] == ([lacking] if lacking else [])
    assert not any(one.ill for one in found)


@pytest.mark.parametrize("there_is_a_worker", [True, False])
async def test_only_what_has_gone_is_said_to_be_put_right(redis, world, monkeypatch, there_is_a_worker):
    monkeypatch.setattr(doctor, "REPAIR_SECONDS", 0.3)
    monkeypatch.setattr(terminal, "LOOK_SECONDS", 0.01)
    if there_is_a_worker:

        async def sweep(_op):
            await redis.delete(keys.WORKERS)

        monkeypatch.setattr(doctor, "_sweep", sweep)
    await world.serve(deadline=1)
    await redis.hset(keys.SWITCH, "drain:gone", "on")
    await redis.zadd(keys.WORKERS, {ONE: 1})
    config = Settings(secret_key=SecretStr("s" * 40), api_keys=(SecretStr("k" * 20),))
    op = Operator(redis, config, Console(file=io.StringIO()), may_sign=True)
    done = await doctor.doctor(op, repair=True, by="anna")
    found: Any = done.data
    told = {one["check"]: one["repaired"] for one in found}
    assert told == {
        "onboarding is stuck": True,
        "drain switch of nobody": True,
        "worker is silent": there_is_a_worker,
        "no worker is alive": False,
    }
    assert done.ill
    assert await world.state() is State.FAILED
