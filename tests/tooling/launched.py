"""A launcher in a process of its own, and everything that descends from it."""

import contextlib
import os
import subprocess
import sys
import uuid
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]
GONE_SECONDS = 15


def command_line(process):
    """Empty for one that has just ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


class Launched:
    """Knows its family by a mark in the environment. Read `until` it says something; then `end` it."""

    def __init__(self, module, *arguments, **env):
        self.mark = uuid.uuid4().hex
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "WA_TEST_RUN") if name in os.environ}
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            env={**kept, "LAUNCHED": self.mark, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.process.stdout is not None
        self.output = self.process.stdout
        self.said = ""

    def until(self, word):
        for line in self.output:
            self.said += line
            if word in line:
                return line
        raise AssertionError(f"ended without saying {word!r}:\n{self.said}")

    def end(self):
        self.said += self.output.read()
        return self.process.wait(GONE_SECONDS)

    def family(self):
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("LAUNCHED") == self.mark:
                    found.append(process)
            except (psutil.Error, OSError):
                continue
        return found

    def named(self, words):
        """The one of the family whose command line holds these words."""
        found = [process for process in self.family() if words in command_line(process)]
        assert len(found) == 1, [command_line(process) for process in self.family()]
        return found[0]

    def assert_all_gone(self):
        _, stayed = psutil.wait_procs(self.family(), timeout=GONE_SECONDS)
        assert [command_line(process) for process in stayed] == []

    def clean_up(self):
        for process in self.family():
            with contextlib.suppress(psutil.Error):  # gone meanwhile
                process.kill()
        self.process.wait()
        self.output.close()
