"""Our own Redis: on loopback, behind a password, gone afterwards."""

import os
import signal
import socket

import psutil
import pytest
import redis

from app.local import redis as local_redis


def test_it_answers_with_its_password_only_and_is_gone_afterwards(tmp_path):
    with local_redis.running(tmp_path) as server:
        with redis.Redis.from_url(server.url) as client:
            assert client.set("a", "b")
            assert client.config_get("save")["save"] == ""
        with redis.Redis(port=server.port) as stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()
        listening = [c.laddr.ip for c in psutil.Process(server.pid).net_connections() if c.status == psutil.CONN_LISTEN]
        assert listening == ["127.0.0.1"]
        password = server.url.split(":")[2].split("@")[0]
        assert password not in " ".join(psutil.Process(server.pid).cmdline())
    assert not psutil.pid_exists(server.pid)


def test_the_same_server_can_be_started_again(tmp_path):
    with local_redis.running(tmp_path, password="known") as first:
        pass
    with local_redis.running(tmp_path, port=first.port, password="known") as second:
        assert second.url == first.url


def test_a_taken_port_is_named(tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(local_redis.CannotStartError, match=str(port)), local_redis.running(tmp_path, port=port):
            pass


def test_one_that_was_killed_does_no_harm_to_the_end(tmp_path):
    with local_redis.running(tmp_path) as server:
        os.kill(server.pid, signal.SIGKILL)
    assert not psutil.pid_exists(server.pid)


def test_the_machines_own_server_is_preferred_and_the_bundled_one_is_found_without_it(tmp_path, monkeypatch):
    fake = tmp_path / "valkey-server"
    fake.write_text("#!/bin/sh\n")
    fake.chmod(0o755)
    bundled = tmp_path / "bundled" / "redis-server"
    bundled.parent.mkdir()
    bundled.write_text("#!/bin/sh\n")
    bundled.chmod(0o755)
    monkeypatch.setattr(local_redis, "_BUNDLED", bundled)
    monkeypatch.setenv("PATH", f"{bundled.parent}{os.pathsep}{tmp_path}")
    assert local_redis.find_binary() == fake
    monkeypatch.setenv("PATH", str(bundled.parent))
    assert local_redis.find_binary() == bundled
    bundled.unlink()
    with pytest.raises(local_redis.CannotStartError, match="REDIS_URL"):
        local_redis.find_binary()
