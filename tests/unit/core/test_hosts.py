"""Addresses that somebody else has named: only public ones are reached, in whatever wrapping."""

import ipaddress

import pytest

from shared.core.hosts import address_in, may_reach
from shared.state.receivers import check_target
from tests.each import each

PRIVATE = [
    "127.0.0.1", "127.255.255.254", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "192.0.2.1", "198.18.0.1", "224.0.0.1", "255.255.255.255", "240.0.0.1", "::", "::1", "fe80::1", "fe80::1%eth0",
    "fc00::1", "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "2002:7f00:1::", "2002:a9fe:a9fe::",
    "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2001:db8::1", "", "localhost", "hooks.example", "0x7f000001", "2130706433",
    "fec0::1", "feff::1", "3fff::1", "5f00::1", "4000::1", "8000::1", "e000::1", "::127.0.0.1", "::ffff:0:127.0.0.1",
    "64:ff9b:1::7f00:1", "2001:0:7f00:1::", "2001:20::1", "100::1", "2606:2800::5efe:127.0.0.1", "2606:2800::200:5efe:a00:1",
    "168.63.129.16", "::ffff:168.63.129.16", "192.0.0.192", "100.100.100.200", "0.1.2.3", "ff05::1", "127.0.0.1%lo",
]  # fmt: skip


@each("address", PRIVATE)
def test_private_addresses_are_not_reached(address):
    assert not may_reach(address, ())


@each(
    "address", ["8.8.8.8", "93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "64:ff9b::808:808", "2002:808:808::"]
)
def test_public_addresses_are_reached(address):
    assert may_reach(address, ())


def test_a_network_that_is_allowed_is_reached_in_every_wrapping_and_no_other_is():
    allowed = [ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8")]
    assert may_reach("10.1.2.3", allowed)
    assert may_reach("::ffff:10.1.2.3", allowed)
    assert may_reach("fd00::1", allowed)
    assert not may_reach("192.168.1.1", allowed)


def test_an_address_is_told_from_a_name():
    assert address_in("10.0.0.1")
    with pytest.raises(ValueError, match="not public"):
        check_target("https://[::1]/", ())
    assert not address_in("hooks.example")
