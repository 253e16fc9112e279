"""Every name in Redis is one of the table, and none can carry a phone."""

import inspect
import re

from shared.core import keys
from shared.core.ids import SessionId, WorkerId
from tests.each import each

ARGUMENTS = {
    "session": SessionId("company_salon"),
    "worker_id": WorkerId("host-1-abcdef"),
    "message_id": "00ff00ff00ff00ff",
    "digest": "d" * 64,
    "whatsapp_id": "3EB0C767D0978A5F06",  # made of chance
    "link_id": "abc_DEF-123",
    "revision": 1_047_769_893,
    "event_id": "message-00ff00ff00ff00ff",
    "mark": "00ff00ff00ff00ff",
}
FUNCTIONS = [
    one
    for _, one in inspect.getmembers(keys, inspect.isfunction)
    if one.__module__ == keys.__name__ and one is not keys.wake
]
CONSTANTS = [
    keys.CLAIMS,
    keys.SETTLING,
    keys.SWEEP,
    keys.SWEEP_AGAIN,
    keys.SWEPT,
    keys.WORKERS,
    keys.STATS,
    keys.SWITCH,
    keys.SWITCH_SEEN,
    keys.OPERATORS,
    keys.FAILED_JOBS,
    keys.PROBE,
    keys.WEBHOOKS,
    keys.DEAD_WEBHOOKS,
    keys.FEED,
    keys.OFFLINE,
    keys.SESSIONS,
    keys.OUTBOXES,
    keys.UNCONFIRMED,
    keys.FORGETTING,
    keys.WEB_REVISION,
    keys.LINKS_CHANNEL,
    keys.QUEUE_LINKING,
    keys.QUEUE_SESSIONS,
    keys.QUEUE_RESUME,
]


def made_by(function):
    return function(*(ARGUMENTS[name] for name in inspect.signature(function).parameters))


def rows_for(name):
    """The rows of the table that describe a name."""
    return [row.name for row in keys.KEYS if re.fullmatch(re.sub(r"<\w+>", "[^:]+", row.name), name)]


@each("function", FUNCTIONS, ids=lambda one: one.__name__)
def test_every_name_that_is_made_has_one_row_in_the_table(function):
    name = made_by(function)
    assert name.startswith(("wa:", "arq:"))
    assert len(rows_for(name)) == 1, name


@each("name", CONSTANTS)
def test_every_fixed_name_has_one_row_in_the_table(name):
    assert rows_for(name) == [name]


def test_every_row_of_the_table_is_a_name_that_is_made():
    made = {row for name in [*CONSTANTS, *map(made_by, FUNCTIONS)] for row in rows_for(name)}
    assert made == {row.name for row in keys.KEYS}


def test_names_are_made_of_ids_only_so_that_no_phone_code_or_token_can_be_in_one():
    taken = {name for function in FUNCTIONS for name in inspect.signature(function).parameters}
    assert taken == set(ARGUMENTS)


def test_only_counters_switches_and_channels_live_for_ever():
    for row in keys.KEYS:
        assert row.purpose
        if row.ttl in {"", "none"}:
            assert row.type in {"counter", "channel"} or row.name in {
                keys.STATS,
                keys.SWITCH,
                keys.SWITCH_SEEN,
                "wa:receiver:<session>",
            }


def test_a_queue_is_woken_on_a_channel_of_its_own():
    assert (
        len(
            {keys.wake(keys.QUEUE_LINKING), keys.wake(keys.QUEUE_SESSIONS), keys.wake(keys.queue_worker(WorkerId("w")))}
        )
        == 3
    )
    assert keys.SUBJECT_TTL <= 10 * 60 * 1000, "phones stay in Redis for ten minutes at most"
