"""The seed of the ordinary life that an emulator lets happen by itself: told in every failing report, and given back by LIFE_SEED.

The hook is for `tests/conftest.py`.
"""

import os
from collections.abc import Generator

import pytest

from emulator.client import Emulator


def wanted() -> int | None:
    """The seed that is to be played again, if one is."""
    given = os.environ.get("LIFE_SEED")
    return int(given) if given else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Write into the report of a failed test what its emulators let happen."""
    report = yield
    if report.failed:
        lives = [f"LIFE_SEED={one.seed} {item.nodeid}  (rate {one.life:g})" for one in Emulator.known]
        report.sections += [("ordinary life", line) for line in lives]
    return report
