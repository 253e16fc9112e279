"""What a process does not load weighs nothing, and is not waited for at its start."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {
    "click",
    "cryptography.x509",
    "httpx",
    "importlib.metadata",
    "logging.config",
    "multiprocessing",
    "pydantic_settings",
    "pydoc",
    "redis.cluster",
    "rich",
    "sentry_sdk",
    "urllib.request",
    "zipfile",
}
"""Packages that weigh megabytes, and that a service with nothing but its usual settings has no use for."""


@pytest.mark.parametrize(
    ("module", "also"),
    [
        ("app.main", {"prometheus_client", "tempfile"}),
        ("workers.main", {"asyncpg", "starlette"}),
        ("workers.lastwill.__main__", set()),
    ],
)
def test_a_process_starts_without_what_it_does_not_need(module: str, also: set[str]) -> None:
    assert_runs(
        f"import sys, gc, {module}\n"
        "assert gc.isenabled() and gc.get_threshold()[0] < 10_000\n"
        f"assert not [name for name in {HEAVY | also} if name in sys.modules]"
    )


@pytest.mark.parametrize("module", ["app.main", "workers.main"])
def test_sentry_finds_all_that_it_looks_at(module: str) -> None:
    """It puts its own functions into packages, also into parts of them that nobody here uses."""
    told = {"redis_url": "redis://x", "secret_key": "k" * 40, "api_keys": ("a" * 20,), "sentry_dsn": "https://x@y.z/1"}
    assert_runs(
        f"import {module}\nfrom shared.settings import Settings\nfrom shared.telemetry import sentry\n"
        f"sentry.configure(Settings(**{told}), 'web')"
    )


@pytest.mark.parametrize("module", ["app.main", "workers.main"])
def test_an_interrupted_start_ends_without_a_traceback(module: str) -> None:
    """Interrupted after one of its imports, a process ends by the signal. It ends by itself, without settings, if this test is late."""
    starting = subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", module],
        cwd=Path(__file__).parents[2],
        env={"PATH": os.environ["PATH"]},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert starting.stderr is not None
    next(line for line in starting.stderr if line.rstrip().endswith("asyncio"))
    starting.send_signal(signal.SIGINT)
    said = starting.communicate()[1]
    assert starting.returncode in {-signal.SIGINT, 2}
    assert "Traceback" not in said


def assert_runs(program: str) -> None:
    found = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"PYTHONPATH": ""},
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert (found.returncode, found.stderr) == (0, "")
