"""Who has not said yet what it wants waits among few, and the longest wait ends first."""

import ipaddress

import pytest

from app.http.antechamber import Antechamber
from app.http.edge import OF_ADDRESS, Doorkeeper, networks_as_seen


@pytest.fixture
def shown_out() -> list[object]:
    return []


@pytest.fixture
def room(shown_out):
    return Antechamber(4, 2, shown_out.append)


def test_a_newcomer_takes_the_place_of_its_own_neighbour_who_has_waited_longest(room, shown_out):
    for guest, address in (("a1", "a"), ("b1", "b"), ("a2", "a"), ("a3", "a")):
        room.enter(guest, address)
    assert shown_out == ["a1"]


def test_if_all_places_are_taken_the_longest_wait_of_all_ends(room, shown_out):
    for guest, address in (("a", "a"), ("b", "b"), ("c", "c"), ("d", "d"), ("e", "e")):
        room.enter(guest, address)
    assert shown_out == ["a"]
    assert len(room._waiting) == 4


def test_behind_a_router_only_the_whole_number_counts(room, shown_out):
    for number in range(6):
        room.enter(number, None)
    assert shown_out == [0, 1]


def test_nothing_is_kept_of_those_who_have_left(room, shown_out):
    for number in range(1000):
        room.enter(number, f"address-{number % 3}")
        room.leave(number)
        room.leave(number)
    assert len(room._waiting) == 0
    assert not room._of_address
    assert not shown_out


@pytest.fixture
def door():
    return Doorkeeper(1000, [ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8")])


@pytest.mark.parametrize(
    ("host", "counted"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8::1", "2001:db8::/64"),
        ("10.1.2.3", None),
        ("::ffff:10.1.2.3", None),
        ("fd00::5", None),
        ("", ""),
    ],
)
def test_a_connection_counts_for_its_neighbourhood_and_a_routers_for_nobody(door, host, counted):
    assert door.address_of(host) == counted


def test_an_address_has_so_many_connections_and_no_more(door):
    for _ in range(OF_ADDRESS):
        assert door.may_enter("2001:db8::/64", others=0)
    assert not door.may_enter("2001:db8::/64", others=0)
    assert door.may_enter("2001:db8:1::/64", others=0)
    door.gone("2001:db8::/64")
    door.gone("2001:db8::/64")
    assert door.may_enter("2001:db8::/64", others=0)


def test_all_together_have_so_many_connections_and_no_more(door):
    assert door.may_enter(None, others=999)
    assert not door.may_enter(None, others=1000)


def test_a_router_is_known_on_a_listener_for_both_families_too():
    seen = networks_as_seen([ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8")])
    assert seen == ["10.0.0.0/8", "fd00::/8", "::ffff:10.0.0.0/104"]
    assert ipaddress.ip_address("::ffff:10.9.9.9") in ipaddress.ip_network(seen[-1])
