"""Values that anybody may have written: read without trust."""

import pytest

from shared.core import odd


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (b"7", 7),
        ("7", 7),
        (7.9, 7),
        (b"0", 0),
        (b"99999999999999", 99_999_999_999_999),
        (b"100000000000000", -1),
        (b"-7", -1),
        (b"1.5", -1),
        (b" 7", -1),
        ("٧", -1),
        (b"\xff", -1),
        (b"", -1),
        (None, -1),
        (True, -1),
        (float("inf"), -1),
        (float("nan"), -1),
        (10**30, -1),
        ([7], -1),
    ],
)
def test_a_number_is_one_of_ours_or_none(value, number):
    assert odd.number(value, -1) == number


@pytest.mark.parametrize("value", [None, b"", b"[1]", b'"a"', b"5", b'{"a":[', b"\xff"])
def test_a_value_that_is_no_json_object_has_no_fields(value):
    assert odd.fields(value) == {}
    assert odd.fields(b'{"a": 1}') == {"a": 1}
