"""What a process does not load weighs nothing, and is not waited for at its start."""

import os
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
    program = (
        f"import sys, gc, {module}\n"
        "assert gc.isenabled() and gc.get_threshold()[0] < 10_000\n"
        f"sys.exit(str(sorted(name for name in {HEAVY | also} if name in sys.modules) or 0).strip('0'))"
    )
    found = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"PYTHONPATH": ""},
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert found.stderr.strip() == ""
    assert found.returncode in {0, 1}
