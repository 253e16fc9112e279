"""The guard that watches all tests sees what it should. In a process of its own: it ends what it finds."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

SCRIPT = """
import pathlib, socket, subprocess, sys, tempfile
from tests import leaks
leaks.GRACE_SECONDS = 0.5
folder = pathlib.Path(sys.argv[1])
early = socket.create_server(("127.0.0.1", 0))
watch = leaks.Leaks.watch()
print("clean:", watch.found(folder))
sleep = "import socket, time; s = socket.create_server(('127.0.0.1', 0)); print(flush=True); time.sleep(600)"
child = subprocess.Popen([sys.executable, "-c", sleep], stdout=subprocess.PIPE)
child.stdout.readline()
# An orphan: its parent has ended, and only the mark in its environment tells whose it is.
orphaning = "import subprocess, sys; print(subprocess.Popen(['sleep', '600'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).pid, flush=True)"
orphan = int(subprocess.run([sys.executable, "-c", orphaning], capture_output=True, check=True).stdout)
late = socket.create_server(("127.0.0.1", 0))
(folder / "forgotten").write_text("")
for line in watch.found(folder):
    print(line.replace(str(child.pid), "CHILD").replace(str(orphan), "ORPHAN"))
child.wait()
print("again:", [line for line in watch.found(folder) if line.startswith("process")])
"""


def test_the_guard_finds_processes_orphans_ports_and_files_and_ends_the_processes(tmp_path):
    told = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT, str(tmp_path)], cwd=ROOT, capture_output=True, text=True
    )
    assert told.returncode == 0, told.stderr
    lines = told.stdout.splitlines()
    assert lines[0] == "clean: []"
    assert lines[-1] == "again: []"
    assert any(line.startswith("process CHILD: ") for line in lines)
    assert any(line == "process ORPHAN: sleep 600" for line in lines)
    assert sum(line.startswith("port ") and line.endswith("of process CHILD") for line in lines) == 1
    assert sum(line.endswith("of the tests' own process") for line in lines) == 1
    assert f"temporary file {tmp_path / 'forgotten'}" in lines
