"""A table in one test fails with every row that is wrong, and names it."""

import pytest

from tests.each import each


def test_every_row_is_run_and_every_failure_is_told():
    seen = []

    @each("one", "ab")
    @each("number, wanted", [(1, 1), (2, 3), (4, 5)])
    def looked_at(one, number, wanted):
        seen.append((one, number))
        assert number == wanted

    with pytest.raises(ExceptionGroup, match="2 of 2 rows") as failed:
        looked_at()
    assert len(seen) == 6
    assert "'a'" in str(failed.value.exceptions[0])
    assert "2 of 3 rows" in str(failed.value.exceptions[0])


@each("number", [1, 2])
def test_fixtures_come_as_ever(number, tmp_path):
    assert tmp_path.exists()


def test_a_row_that_raises_nothing_where_it_should_is_a_failure():
    @each("text", ["1", "x"])
    def refused(text):
        with pytest.raises(ValueError, match="invalid"):
            int(text)

    with pytest.raises(ExceptionGroup, match="1 of 2 rows"):
        refused()
