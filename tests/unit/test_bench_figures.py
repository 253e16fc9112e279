"""The benchmark's figures say what its results say."""

import xml.etree.ElementTree as ET

import pytest

from bench import figures
from bench.result import Line, Row

ROWS = (
    Row(
        "B1",
        "click",
        (
            Line("QR: click to socket", 24.6, "ms", floor=12.4, p95=31.3, samples=50),
            Line("code: click to socket", 66.6, "ms", floor=50.8, p95=79.7),
            Line("QR: added to bare neonize, median", 12.1, "ms", bar=10),
        ),
        1,
    ),
    Row(
        "B3",
        "memory",
        (
            Line("200 sessions: the worker's own memory", 221, "MB", floor=169),
            Line("a session more", 0.5, "MB", floor=0.53),
        ),
        1,
    ),
    Row("B7", "killed", (Line("all 50 held again, worst of 4", 9.77, "s", bar=17, floor=0.74),), 1),
)


def results(*rows):
    of = {"at": "2026-11-29T10:00:00+00:00", "commit": "0123456789abcdef", "cores": 2, "python": "3.12.1"}
    return {"rows": [{**row.as_json(), "of": of} for row in rows]}


def texts(path):
    return ["".join(one.itertext()) for one in ET.parse(path).getroot().iter("{http://www.w3.org/2000/svg}text")]


def lengths(path, kind):
    return [
        float(one.get("width"))
        for one in ET.parse(path).getroot().iter()
        if one.get("class") == kind and one.get("height")
    ]


def test_every_figure_is_drawn_with_its_numbers_and_where_they_are_from(tmp_path):
    written = figures.write(results(*ROWS), tmp_path)
    assert {path.name for path in written} == {"latency.svg", "recovery.svg", "memory.svg"}
    latency = texts(tmp_path / "latency.svg")
    assert "24.6" in latency
    assert "66.6" in latency
    assert not [one for one in latency if "added" in one]
    assert "9.77" in texts(tmp_path / "recovery.svg")
    assert "bare neonize" in texts(tmp_path / "memory.svg")
    for path in written:
        assert "2026-11-29, commit 012345678, 2 cores, Python 3.12.1." in texts(path)[-1]


def test_bars_are_as_long_as_their_numbers(tmp_path):
    figures.write(results(*ROWS), tmp_path)
    first, second = lengths(tmp_path / "latency.svg", "ours")
    assert second / first == pytest.approx(66.6 / 24.6, rel=0.01)
    assert lengths(tmp_path / "latency.svg", "floor")[0] / first == pytest.approx(12.4 / 24.6, rel=0.01)


def test_unmeasured_figures_are_not_drawn(tmp_path):
    assert [path.name for path in figures.write(results(ROWS[2]), tmp_path)] == ["recovery.svg"]
    assert figures.write(results(), tmp_path) == []


def test_a_name_is_not_taken_for_markup(tmp_path):
    row = Row("B7", "killed", (Line("<all> held again & again", 1, "s"),), 1)
    (path,) = figures.write(results(row), tmp_path)
    assert any(one.startswith("<all> held again & again") for one in texts(path))
