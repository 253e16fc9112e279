"""How much a worker takes on, by its memory and by its settings."""

from pathlib import Path

import pytest

from shared.settings import Settings
from workers.capacity import MOST_SESSIONS, Capacity, capacity, memory_mb
from workers.holding.holders import MOST_WEAR
from workers.store.postgres.pgbouncer_ini import MOST_CLIENTS


def config(**fields: int) -> Settings:
    return Settings.model_validate({"secret_key": "s" * 40, "api_keys": "k" * 20, **fields})


@pytest.mark.parametrize(
    ("mb", "expected"),
    [(512, Capacity(10, 150)), (1024, Capacity(20, 300)), (2560, Capacity(50, 750)), (64, Capacity(1, 18))],
)
def test_memory_says_how_much_a_worker_takes_on(mb: int, expected: Capacity) -> None:
    assert capacity(config(), mb) == expected


def test_even_much_memory_has_a_bound() -> None:
    assert capacity(config(), 10**6) == Capacity(50, 1000)


def test_the_settings_have_the_last_word() -> None:
    assert capacity(config(max_attempts=3, max_sessions=7), 512) == Capacity(3, 7)


def test_this_machine_has_some_memory() -> None:
    assert 64 < memory_mb() < 10**7


UNIT = "system.slice/onboarding-worker@1.service"


@pytest.mark.parametrize(
    ("ours", "limits", "mb"),
    [
        (None, {}, 8192),
        ("0::/", {}, 8192),
        ("0::/", {"memory.max": "max"}, 8192),
        ("0::/", {"memory.max": str(512 << 20)}, 512),  # a container
        (f"0::/{UNIT}", {f"{UNIT}/memory.max": str(1 << 30)}, 1024),  # a systemd unit
        (f"0::/{UNIT}", {f"{UNIT}/memory.max": str(1 << 30), "system.slice/memory.max": str(256 << 20)}, 256),
        ("0::/kubepods/pod1", {"memory.max": str(512 << 20)}, 512),  # the host's name for a container's group
        ("0::/../other", {"memory.max": str(512 << 20)}, 512),
        ("4:memory:/docker/1\n0::/", {"memory/docker/1/memory.limit_in_bytes": str(512 << 20)}, 512),
        ("5:cpu,memory:/a\n0::/", {"memory/memory.limit_in_bytes": str(768 << 20)}, 768),
        ("4:memory:/a\n1:name=systemd:/a", {"memory/a/memory.limit_in_bytes": "9223372036854771712"}, 8192),
    ],
)
def test_the_least_limit_that_is_set_for_this_process_counts(
    tmp_path: Path, ours: str | None, limits: dict[str, str], mb: int
) -> None:
    files = {"proc/meminfo": f"MemTotal:  {8192 * 1024} kB\nMemFree: 1 kB\n"}
    if ours is not None:
        files["proc/self/cgroup"] = ours + "\n"
    files |= {f"sys/fs/cgroup/{name}": text + "\n" for name, text in limits.items()}
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert memory_mb(tmp_path) == mb


def test_our_pgbouncer_takes_all_sessions_and_what_those_that_were_stopped_have_left():
    assert 2 * (MOST_SESSIONS + MOST_WEAR) < MOST_CLIENTS
