"""The chaos suite: real processes are killed, stopped and cut off; how long recovery took is printed as a table."""

import pytest

from tests.e2e.fixtures import emulator, folder, own_redis
from tests.postgres.conftest import own_postgres
from tests.recovery import Recovery

__all__ = ["emulator", "folder", "own_postgres", "own_redis"]


@pytest.fixture
def recovery() -> Recovery:
    """The stopwatch."""
    return Recovery()
