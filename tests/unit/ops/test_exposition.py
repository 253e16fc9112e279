"""What Prometheus is told before anything has happened, and that what has happened is told as it is."""

import re

import pytest

from app.ops import exposition
from app.ops.gauges import Moment
from shared.telemetry.metrics import Counter, field


def told(**stats):
    moment = Moment(stats, 0, 0, 0, 0, 0, [])
    text = exposition.text(moment, sockets=0, switches=[]).decode()
    rows = re.findall(r"^([^#\s]+(?:\{[^}]*\})?) (\S+)$", text, re.MULTILINE)
    assert len(rows) == len(dict(rows)), "nothing is told twice"
    return {name: float(value) for name, value in rows}


@pytest.mark.parametrize(
    "name",
    [
        'wa_attempts_total{method="qr"}',
        'wa_endings_total{state="linked"}',
        'wa_endings_total{state="failed"}',
        'wa_failures_total{code="client-outdated",region="ZZ"}',
        'wa_linked_total{method="code",region="ZZ"}',
        'wa_pairing_code_failures_total{reason="whatsapp-rate-limited"}',
        'wa_swept_total{kind="worker"}',
        'wa_webhooks_total{result="given-up",type="session.linked"}',
        "wa_dropped_total",
    ],
)
def test_counters_begin_at_zero_before_their_first_event(name):
    assert told()[name] == 0


def test_only_endings_are_endings():
    assert {name for name in told() if name.startswith("wa_endings")} == {
        f'wa_endings_total{{state="{state}"}}' for state in ("linked", "failed", "expired", "cancelled")
    }


def test_counted_events_are_exposed_once_with_their_numbers():
    found = told(**{field(Counter.DROPPED): 3, field(Counter.LINKED, method="qr", region="ZZ"): 2})
    assert found["wa_dropped_total"] == 3
    assert found['wa_linked_total{method="qr",region="ZZ"}'] == 2
    assert found['wa_linked_total{method="code",region="ZZ"}'] == 0


def test_a_count_of_a_newer_version_with_another_label_harms_nothing():
    found = told(**{'endings{state="linked",why="tomorrow"}': 1})
    assert found['wa_endings_total{state="linked",why="tomorrow"}'] == 1
    assert found['wa_endings_total{state="linked",why=""}'] == 0
