"""How much a worker takes on, by its memory and by its settings."""

import pytest

from shared.settings import Settings
from workers.capacity import Capacity, capacity, memory_mb


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
