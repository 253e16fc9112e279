"""A host whose kernel does not hold engine processes is named, and is no illness."""

import pytest

from app.cli.doctor import _confinement
from app.ops.gauges import Moment, WorkerView
from shared.core.ids import WorkerId


@pytest.mark.parametrize(
    ("fields", "lacking"),
    [
        ({"held": "landlock 6, seccomp"}, None),
        ({"held": "seccomp"}, "without landlock"),
        ({"held": ""}, "without landlock and seccomp"),
        ({"held": "unknown"}, None),  # its first engine process is still on its way
        ({}, None),  # an older version
    ],
)
def test_only_a_worker_that_reports_missing_confinement_is_named(fields, lacking):
    worker = WorkerView(WorkerId("w1"), 0, fields)
    moment = Moment({}, 0, 0, 0, 0, 0, [worker])
    found = list(_confinement(moment))
    assert [one.detail for one in found] == ([lacking] if lacking else [])
    assert not any(one.ill for one in found)
