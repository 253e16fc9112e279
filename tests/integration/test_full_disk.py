"""An operator's command whose answer cannot be written, as on a full disk, says so in one sentence."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from shared.core import keys
from shared.core.ids import CompanyId, session_of
from workers.moving import __main__ as moving
from workers.moving.screen import say

FULL = Path("/dev/full")
pytestmark = pytest.mark.skipif(not FULL.exists(), reason="THIS SYSTEM has no /dev/full")


@pytest.mark.parametrize("words", [("--help",), ("workers",), ("workers", "--json"), ("timeline", "acme", "--follow")])
async def test_a_full_disk_is_one_sentence_and_exit_code_2(redis, redis_server, words):
    await redis.rpush(keys.timeline(session_of(CompanyId("acme"))), b'{"at":1,"attempt":1,"event":"attempt.linked"}')
    with FULL.open("wb") as full:
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "app.cli", *words],
            env=os.environ | {"REDIS_URL": redis_server, "PYTHONUNBUFFERED": ""},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (2, "The answer cannot be written: No space left on device.\n")


def test_a_full_disk_stops_an_import_with_one_sentence(monkeypatch, capsys):
    async def told(_asked):
        say("1/2 acme: held.")

    monkeypatch.setitem(moving.COMMANDS, "import", told)
    with FULL.open("wb", buffering=0) as full:
        monkeypatch.setattr(sys, "stdout", os.fdopen(os.dup(full.fileno()), "w"))
        unwritten = sys.stdout
        assert moving.main(["import", "somewhere"]) == moving.STOPPED
        assert sys.stdout is not unwritten  # which Python flushes at its end
        with pytest.raises(OSError, match="No space"):
            unwritten.close()
    assert capsys.readouterr().err == (
        "Stopped: No space left on device. What was taken over stays; say the command again for the rest.\n"
    )
