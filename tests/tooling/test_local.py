"""`make run`'s launcher, with stand-ins for web and worker: what it starts, makes up, says and stops."""

import asyncio
import json
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app.cli.environment import read_for_operator
from app.local import __main__ as local
from app.local import greeting as local_greeting
from app.local import redis as local_redis
from tests.tooling.launched import ROOT, Launched, command_line

FAKES = Path(__file__).parent / "fakes"


@pytest.fixture
def launch(tmp_path):
    launched = []
    always = (f"--folder={tmp_path / 'run'}", f"--procfile={FAKES / 'Procfile'}")

    def start(*arguments, **env):
        env.setdefault("PORT", str(local_redis.free_port()))
        launched.append(Launched("app.local", *always, *arguments, **env))
        return launched[-1]

    yield start
    for one in launched:
        one.clean_up()


def wait_for(true, seconds=20):
    """Until another process has come so far."""
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_shows_a_link_and_a_signal_stops_all_of_it(launch, number):
    running = launch()
    running.until("Salon Aurora")
    link = running.until("/link#")
    assert re.search(r"http://127\.0\.0\.1:\d+/link#demo-64", link)
    running.until("Ctrl-C")
    wait_for(lambda: len(running.family()) >= 4)  # the launcher, Redis, web, worker
    running.process.send_signal(number)
    assert running.end() == 0
    assert running.said.endswith("Stopped.\n")
    running.assert_all_gone()


def test_with_a_page_and_a_log_it_says_where_both_are_and_nothing_else(launch, tmp_path):
    log = tmp_path / "all.log"
    running = launch("--page", "http://127.0.0.1:1/demo", "--log", str(log))
    assert "http://127.0.0.1:1/demo" in running.until("http://")
    assert str(log) in running.until("Log")
    running.until("Ctrl-C")
    assert "| " not in running.said.replace("│ ", "")
    wait_for(lambda: "redis at" in log.read_text())  # its worker runs: it starts beside web
    next(one for one in running.family() if command_line(one) == "python worker.py").kill()
    assert running.end() == 128 + signal.SIGKILL
    assert f"{log} may say why.\n" in running.said
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({"DISPLAY": ":0"}, True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, True),
        ({"DISPLAY": ":0", "SSH_CONNECTION": "a b"}, False),
        ({"DISPLAY": ":0", "CI": "true"}, False),
        ({}, False),
    ],
)
def test_a_browser_is_opened_only_where_somebody_sits(env, expected, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    assert local.has_display(env) is expected


def test_output_carries_the_name_of_its_process(launch):
    running = launch()
    assert re.search(r"worker\s*\| redis at 127\.0\.0\.1:\d+/0", running.until("redis at"))


def test_a_given_redis_is_used_and_none_started(launch, tmp_path):
    running = launch(REDIS_URL="redis://somebody@192.0.2.1:6379/0")
    assert "192.0.2.1:6379/0" in running.until("redis at")
    assert not [process for process in running.family() if "redis-server" in command_line(process)]


def test_a_signal_stops_what_talks_without_end(launch, tmp_path):
    """The launcher is then nearly always in the midst of a line. A line may hold anything, and be long."""
    procfile = tmp_path / "Procfile"
    procfile.write_text("web: printf 'a\\377b\\n'; head -c 300000 /dev/zero | tr '\\0' x; echo; yes much to say\n")
    running = launch(f"--procfile={procfile}", REDIS_URL="redis://192.0.2.1:6379/0")
    assert "web | a\ufffdb" in running.until("web |")
    assert "x" * 300_000 in running.until("xxx")
    running.until("much to say")
    running.process.send_signal(signal.SIGTERM)
    assert running.end() == 0
    assert running.said.endswith("Stopped.\n")
    running.assert_all_gone()


def test_the_operators_command_finds_a_run_while_it_lasts(launch, tmp_path, monkeypatch):
    for name in ("REDIS_URL", "SECRET_KEY", "API_KEYS"):
        monkeypatch.delenv(name, raising=False)
    running = launch()
    running.until("Ctrl-C")
    told = tmp_path / "run" / "running.json"
    assert stat.S_IMODE(told.stat().st_mode) == 0o600
    found, may_sign = read_for_operator([tmp_path / "run"])
    assert may_sign
    assert found.redis_url.get_secret_value() == json.loads(told.read_text())["REDIS_URL"]
    running.process.send_signal(signal.SIGTERM)
    assert running.end() == 0
    assert not told.exists()
    with pytest.raises(SystemExit):
        read_for_operator([tmp_path / "run"])


@pytest.mark.parametrize(("code", "expected"), [("7", 7), ("0", 1)])
def test_a_child_that_ends_at_once_stops_the_rest_and_is_named(launch, code, expected):
    running = launch(FAKE_WORKER=code)
    assert running.end() == expected
    assert f"worker ended with exit code {code}, so everything else was stopped.\n" in running.said
    running.assert_all_gone()


def test_redis_dying_stops_the_rest_and_is_named(launch):
    running = launch()
    running.until("Ctrl-C")
    running.named("redis-server").kill()
    assert running.end() == 1
    assert "Redis was ended by signal 9, so everything else was stopped.\n" in running.said
    running.assert_all_gone()


def test_even_a_killed_launcher_leaves_nothing(launch):
    running = launch()
    running.until("Ctrl-C")
    running.process.kill()
    running.process.wait()
    running.assert_all_gone()


def test_a_port_in_use_is_named_and_nothing_starts(launch):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        refused = launch(PORT=str(port))
        assert refused.end() == 2
        assert refused.said == f"Port {port} is in use: stop what listens there, or set another PORT.\n"


def test_made_up_keys_never_leave_loopback(launch):
    refused = launch(HOST="0.0.0.0")
    assert refused.end() == 2
    assert refused.said.startswith("HOST=0.0.0.0 is not loopback, so SECRET_KEY and API_KEYS must be set")


def test_a_second_run_on_the_same_devices_is_refused(launch):
    launch().until("Ctrl-C")
    second = launch()
    assert second.end() == 2
    assert "one at a time" in second.said


def test_help_says_what_it_does():
    told = subprocess.run([sys.executable, "-m", "app.local", "--help"], cwd=ROOT, capture_output=True, text=True)
    assert told.returncode == 0
    assert "REDIS_URL" in told.stdout


# --- the parts --------------------------------------------------------------------------------------------------------


def test_made_up_keys_are_kept_for_their_owner_only(tmp_path):
    first = local.kept_secrets(tmp_path)
    assert local.kept_secrets(tmp_path) == first
    assert stat.S_IMODE((tmp_path / "secrets.json").stat().st_mode) == 0o600
    assert len(first["SECRET_KEY"]) >= 32
    assert len(first["API_KEYS"]) >= 16


@pytest.mark.parametrize("text", ["", "[]", '{"SECRET_KEY": "a"}'])
def test_a_damaged_file_of_keys_is_named(tmp_path, text):
    (tmp_path / "secrets.json").write_text(text)
    with pytest.raises(local_redis.CannotStartError, match=r"secrets\.json is damaged"):
        local.kept_secrets(tmp_path)


def test_given_keys_are_passed_on_and_none_are_made_up(tmp_path):
    given = {"SECRET_KEY": "s" * 40, "API_KEYS": "k" * 20, "HOST": "0.0.0.0", "DATA_DIR": "", "LOG_FORMAT": "json"}
    env = local.environment(given, tmp_path)
    assert {name: env[name] for name in ("SECRET_KEY", "API_KEYS", "HOST", "LOG_FORMAT")} == {
        name: given[name] for name in ("SECRET_KEY", "API_KEYS", "HOST", "LOG_FORMAT")
    }
    assert env["DATA_DIR"] == str(tmp_path / "data")
    assert list(tmp_path.iterdir()) == []


def test_without_a_port_the_next_free_one_is_taken_and_its_other_spelling_allowed(tmp_path, monkeypatch):
    monkeypatch.setattr(local, "is_free", lambda host, port: port >= 8003)
    env = local.environment({"ALLOWED_ORIGINS": "https://a.example"}, tmp_path)
    assert env["PORT"] == "8003"
    assert env["ALLOWED_ORIGINS"] == "https://a.example http://localhost:8003"
    monkeypatch.setattr(local, "is_free", lambda host, port: False)
    with pytest.raises(local_redis.CannotStartError, match="No port from 8000 to 8099"):
        local.environment({}, tmp_path)


@pytest.mark.parametrize("port", ["http", "0", "65536", "-1", "٣"])
def test_a_port_that_is_none_is_named(tmp_path, port):
    with pytest.raises(local_redis.CannotStartError, match=f"PORT={port}"):
        local.environment({"PORT": port}, tmp_path)


def test_the_greeting_does_not_break_a_long_link():
    told = local_greeting.Greeting("http://127.0.0.1:8000", "k", Path("/run"))
    shown = local_greeting.text({"url": "http://127.0.0.1:8000/link#" + "x" * 300}, told)
    assert "API       http://127.0.0.1:8000/api/v1 (docs/api.md;" in shown
    assert "│   http://127.0.0.1:8000/link#" + "x" * 300 + "\n" in shown


def test_no_answer_is_status_zero():
    assert asyncio.run(local_greeting.call("http://127.0.0.1:9", "/readyz")) == (0, b"")


def test_the_secrets_file_is_json(tmp_path):
    local.kept_secrets(tmp_path)
    assert set(json.loads((tmp_path / "secrets.json").read_text())) == {"SECRET_KEY", "API_KEYS"}
