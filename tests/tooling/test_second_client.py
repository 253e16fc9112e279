"""The end of a run names the second real client, whether it ran or not."""

import pytest

from tests.second_client import line


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        ({"passed": 4, "failed": 0, "error": 0, "skipped": 0}, "4 passed"),
        ({"passed": 3, "failed": 1, "error": 0, "skipped": 0}, "3 passed, 1 failed"),
        ({"passed": 0, "failed": 0, "error": 0, "skipped": 4}, "DID NOT RUN: NO NODE (4 skipped)"),
        ({"passed": 0, "failed": 0, "error": 4, "skipped": 0}, "4 error"),
    ],
)
def test_its_line(counts: dict[str, int], told: str) -> None:
    said = line(counts, "NO NODE")
    assert said.startswith("Baileys 7.")
    assert said.endswith(f"the second real client: {told}")
