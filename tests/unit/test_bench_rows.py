"""A benchmark's row that fails or cannot be measured is told, and leaves the others as they are."""

import asyncio

import pytest

from bench import __main__ as bench
from bench.result import Line, cells
from bench.run import Run


async def good(_run):
    return [Line("all is well", 1, "s", bar=2)]


async def broken(_run):
    raise RuntimeError("it fell\nover")


async def impossible(_run):
    pytest.skip("NO NODE on this machine")


@pytest.fixture
def rows(monkeypatch):
    """Three rows in the place of ours."""
    monkeypatch.setattr(bench, "ROWS", {one.__name__: ("a title", one) for one in (broken, impossible, good)})


async def measured(run, *names):
    return [{**(await bench._row(name, run)).as_json(), "of": {}} for name in names]


async def test_a_row_that_fails_or_is_skipped_does_not_stop_the_others(rows, tmp_path):
    run = Run(quick=True, full=False, folder=tmp_path)
    found = await measured(run, "broken", "impossible", "good")
    assert [row["passed"] for row in found] == [False, True, True]
    said = {row[0]: (row[2], row[-1]) for row in cells(found)}
    assert said["broken"] == ("RuntimeError: it fell over", "ERROR")
    assert said["impossible"] == ("NO NODE on this machine", "SKIPPED")
    assert said["good"] == ("1.00 s", "ok")


async def test_a_row_that_hangs_is_given_up(rows, tmp_path, monkeypatch):
    async def hanging(_run):
        await asyncio.sleep(60)

    monkeypatch.setattr(bench, "ROW_SECONDS", 0.01)
    monkeypatch.setitem(bench.ROWS, "good", ("a title", hanging))
    (row,) = await measured(Run(quick=True, full=False, folder=tmp_path), "good")
    assert row["error"].startswith("TimeoutError")


async def test_rows_are_kept_beside_those_of_earlier_runs_in_their_order(rows, tmp_path):
    run, file = Run(quick=True, full=False, folder=tmp_path), tmp_path / "results.json"
    bench.keep(await measured(run, "good"), file)
    bench.keep(await measured(run, "broken"), file)
    kept = bench.keep(await measured(run, "good"), file)
    assert [row["row"] for row in kept["rows"]] == ["broken", "good"]
    assert bench.keep([], file) == kept
