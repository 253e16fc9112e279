"""Every name in Redis is one of the table, and none can carry a phone."""

import re

from shared.core import keys
from shared.core.ids import SessionId, WorkerId
from tests.each import each

IDS = {
    "session": SessionId("company_salon"),
    "worker": WorkerId("host-1-abcdef"),
    "message": "00ff00ff00ff00ff",
    "hash": "d" * 64,
    "id": "3EB0C767D0978A5F06",  # made of chance
    "revision": 1_047_769_893,
    "mark": "00ff00ff00ff00ff",
}
MADE = {name: one for name, one in vars(keys).items() if isinstance(one, keys.Key)}
CONSTANTS = sorted({one for one in vars(keys).values() if isinstance(one, str) and one.startswith(("wa:", "arq:"))})


def made_by(one):
    """A name made by a key, with an id for each of its blanks."""
    names = [row.name for row in keys.KEYS]
    template = next(name for name in names if re.sub(r"<\w+>", "{}", name) == one._form)
    return one(*(IDS[blank] for blank in re.findall(r"<(\w+)>", template)))


def rows_for(name):
    """The rows of the table that describe a name."""
    return [row.name for row in keys.KEYS if re.fullmatch(re.sub(r"<\w+>", "[^:]+", row.name), name)]


@each("one", MADE.values())
def test_every_name_that_is_made_has_one_row_in_the_table(one):
    name = made_by(one)
    assert name.startswith(("wa:", "arq:"))
    assert len(rows_for(name)) == 1, name


def test_the_number_of_a_device_lies_among_the_texts():
    assert rows_for(keys.device_phone(SessionId("company_salon"))) == ["wa:subject:<session>:<message>"]


@each("name", CONSTANTS)
def test_every_fixed_name_has_one_row_in_the_table(name):
    assert rows_for(name) == [name]


def test_every_row_of_the_table_is_a_name_that_is_made():
    made = {row for name in [*CONSTANTS, *map(made_by, MADE.values())] for row in rows_for(name)}
    assert made == {row.name for row in keys.KEYS}


def test_names_are_made_of_ids_only_so_that_no_phone_code_or_token_can_be_in_one():
    assert {blank for row in keys.KEYS for blank in re.findall(r"<(\w+)>", row.name)} == set(IDS)


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
